"""What is printed on a parcel."""

from __future__ import annotations

import textwrap
import json
from typing import List

from shop.models import Line

WIDTH = 32


def parcelLabel(name: str, lines: list[Line]) -> str:
    """The text of a label."""
    heading = textwrap.shorten(name, WIDTH)
    return "\n".join([heading, *(f"{line.count} x {line.item.name}" for line in lines)])


def codes(numbers: List[int]) -> str:
    """Numbers as they stand under the bars."""
    return " ".join(f"{number:06d}" for number in numbers)


def stripes(numbers: list[int]) -> str:
    """One character a stripe: wide ones for odd numbers, narrow ones for even numbers, and gaps between them."""
    return " ".join("#" if number % 2 else "|" for number in numbers)


def is_heavy(line: Line) -> bool:
    """Whether the parcel needs a second sticker."""
    if line.item.weight * line.count > 20_000:
        return True
    else:
        return False
