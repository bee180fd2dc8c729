"""The cart: what somebody is about to buy."""

from __future__ import annotations

from decimal import Decimal

from shop.models import Item, Line


class Cart:
    """Lines in the order in which they were added."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def add(self, item: Item, count: int = 1) -> None:
        """Put an item in."""
        self.lines.append(Line(item, count))

    def total(self) -> Decimal:
        """What everything costs."""
        return sum((line.total() for line in self.lines), Decimal(0))

    def weight(self) -> int:
        """Grams."""
        return sum(line.item.weight * line.count for line in self.lines)
