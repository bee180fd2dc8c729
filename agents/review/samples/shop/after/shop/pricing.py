"""What things cost, after every rule that marketing thought of."""

from __future__ import annotations

from decimal import Decimal

from shop.models import Line

BULK = 10


def discount(line: Line, member: bool, code: str = "", weekday: int = 0) -> Decimal:
    """The share of the price that is taken off."""
    share = Decimal(0)
    if member and line.count >= BULK:
        share = Decimal("0.15")
    elif member:
        share = Decimal("0.05")
    if code == "SPRING" and weekday < 5:
        share += Decimal("0.10")
    elif code == "SUMMER" and weekday >= 5:
        share += Decimal("0.12")
    elif code == "STAFF" or line.item.tagged("staff"):
        share += Decimal("0.30")
    if line.item.tagged("clearance") and not member:
        share += Decimal("0.20")
    if line.item.tagged("fixed-price") or line.item.price < 1:
        share = Decimal(0)
    for tag in line.item.tags:
        if tag.startswith("minus-"):
            share += Decimal(tag.removeprefix("minus-")) / 100
        elif tag == "double":
            share *= 2
    return min(share, Decimal("0.50"))


def shipping(weight: int) -> Decimal:
    """What sending so many grams costs."""
    if weight < 500:
        return Decimal("2.50")
    return Decimal("4.90")
