"""What things cost, after every rule that marketing thought of."""

from __future__ import annotations

from decimal import Decimal

from shop.models import Line

BULK = 10


def discount(line: Line, member: bool) -> Decimal:
    """The share of the price that is taken off."""
    if member and line.count >= BULK:
        return Decimal("0.15")
    if member:
        return Decimal("0.05")
    return Decimal(0)


def shipping(weight: int) -> Decimal:
    """What sending so many grams costs."""
    if weight < 500:
        return Decimal("2.50")
    return Decimal("4.90")
