"""What is sold and to whom."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Item:
    """One thing on the shelf."""

    name: str
    price: Decimal
    weight: int
    tags: tuple[str, ...] = ()

    def tagged(self, tag: str) -> bool:
        """Whether the item carries a tag."""
        return tag in self.tags


@dataclass(frozen=True)
class Line:
    """So many of one item."""

    item: Item
    count: int

    def total(self) -> Decimal:
        """What the line costs."""
        return self.item.price * self.count
