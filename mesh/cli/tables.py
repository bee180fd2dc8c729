"""Text in columns, as wide as it may be. Drawn here: a library for it takes longer to load than the mesh to answer."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

GAP = "   "
NARROWEST = 6
"""Columns are never made narrower than this, however narrow the terminal is."""


def draw(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """A heading, a line, and the rows; cells that are too wide are folded."""
    cells = [[cell.expandtabs(4).split("\n") for cell in row] for row in (headings, *rows)]
    columns = [[line for row in cells for line in row[column]] for column in range(len(headings))]
    words = [max(_wide(word) for line in column for word in [*line.split(), ""]) for column in columns]
    widths = _fitted([max(map(_wide, column)) for column in columns], words, width)
    heading, *body = [_drawn(row, widths) for row in cells]
    line = "─" * (sum(widths) + len(GAP) * (len(widths) - 1))
    return "".join(f"{each.rstrip()}\n" for part in (heading, [line], *body) for each in part)


def _fitted(widths: list[int], words: list[int], width: int) -> list[int]:
    """The widest columns give way, until all fit: those first that can be broken at blanks, so that an id stays whole."""
    spare = width - len(GAP) * (len(widths) - 1)
    for floors in (words, [NARROWEST] * len(widths)):
        while sum(widths) > spare:
            most = max((each for each, floor in zip(widths, floors, strict=True) if each > floor), default=0)
            if most <= NARROWEST:
                break
            widths = [
                each - 1 if each == most and each > floor else each for each, floor in zip(widths, floors, strict=True)
            ]
    return widths


def _drawn(row: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    folded = [[part for line in cell for part in _folded(line, width)] for cell, width in zip(row, widths, strict=True)]
    return [
        GAP.join(part + " " * (width - _wide(part)) for part, width in zip(parts, widths, strict=True))
        for parts in zip_longest(*folded, fillvalue="")
    ]


def _folded(line: str, width: int) -> list[str]:
    """The line in pieces of at most `width`, broken at a blank where there is one."""
    pieces = []
    while _wide(line) > width:
        cut = _cut(line, width)
        blank = line.rfind(" ", 1, cut + 1)
        cut = blank if blank > 0 else cut
        pieces.append(line[:cut])
        line = line[cut:].removeprefix(" ")
    return [*pieces, line]


def _cut(line: str, width: int) -> int:
    """How many characters fit."""
    if line.isascii():
        return width
    taken = 0
    for number, char in enumerate(line):
        taken += _wide(char)
        if taken > width:
            return max(1, number)
    return len(line)


def _wide(text: str) -> int:
    """Columns of a terminal that the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
