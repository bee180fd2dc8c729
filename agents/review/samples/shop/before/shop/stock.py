"""How much of everything is left."""

from __future__ import annotations


def take(stock: dict[str, int], name: str, count: int) -> int:
    """Take some, and say how many are left."""
    left = stock.get(name, 0) - count
    if left < 0:
        raise ValueError(f"only {stock.get(name, 0)} of {name} are left")
    stock[name] = left
    return left


def refill(stock: dict[str, int], deliveries: dict[str, int]) -> dict[str, int]:
    """The stock after a delivery."""
    return {name: stock.get(name, 0) + count for name, count in deliveries.items()}
