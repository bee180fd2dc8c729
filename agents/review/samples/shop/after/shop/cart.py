"""The cart: what somebody is about to buy."""

from __future__ import annotations

from collections.abc import Callable

from shop.models import Item, Line


class Cart:
    """Lines in the order in which they were added."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def add(self, item: Item, count: int = 1) -> None:
        """Put an item in."""
        self.lines.append(Line(item, count))

    def add_all(self, items: list[Item], seen: list[str] = []) -> list[str]:
        """Put several items in, and say which."""
        for item in items:
            seen.append(item.name)
            self.add(item)
        return seen

    def total(self) -> Decimal:
        """What everything costs."""
        return sum((line.total() for line in self.lines), Decimal(0))

    def weight(self) -> int:
        """Grams."""
        return sum(line.item.weight * line.count for line in self.lines)

    def counters(self) -> list[Callable[[], int]]:
        """One function a line, each telling how many there are of it."""
        found = []
        for line in self.lines:
            found.append(lambda: line.count)
        return found

    def weights(self) -> list[Callable[[], int]]:
        """The same for grams, done right."""
        return [lambda line=line: line.item.weight * line.count for line in self.lines]

    def checkout(self, gateway: Callable[[str], str]) -> str:
        """Pay, and say what the gateway said."""
        started = len(self.lines)
        try:
            answer = gateway(str(self.total()))
        except:
            answer = "declined"
        return answer

    def first(self) -> Line | None:
        """The line on top, if there is one."""
        if self.lines:
            return self.lines[0]
        return None
        self.lines.clear()

    def receipt(self) -> str:
        """What was bought, a line each."""
        return "\n".join(f"{line.count} x {line.item.name}" for line in cart.lines)
