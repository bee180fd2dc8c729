"""Text in columns, as wide as it may be. Drawn here: a library for it takes longer to load than the mesh to answer.

A terminal is often narrower than what there is to say. First cells are folded at blanks; then columns give way from the right: what
they hold stands below its row, with its heading. Names and ids stay whole, so that they can be read and copied.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

GAP = "   "
NARROWEST = 6
"""Columns are never made narrower than this, however narrow the terminal is."""
SENTENCE = 20
"""What can be folded at blanks is not folded into less than this, as long as other columns can give way."""
LONGEST_WORD = 40
"""A longer word is no name that anybody copies: it may be cut."""
BESIDE = 2
"""So many columns stand beside one another in any case."""
NOTHING = "–"
INDENT = "    "


def draw(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """A heading, a line, and the rows; cells that are too wide are folded, columns for which there is no room stand below."""
    cells = [[cell.expandtabs(4).split("\n") for cell in row] for row in (headings, *rows)]
    columns = [[line for row in cells for line in row[column]] for column in range(len(headings))]
    natural = [max(map(_wide, column)) for column in columns]
    words = [max(_wide(word) for line in column for word in [*line.split(), ""]) for column in columns]
    floors = [max(min(w, LONGEST_WORD), min(n, SENTENCE)) for w, n in zip(words, natural, strict=True)]
    beside = _beside(floors, width)
    widths = _fitted(natural[:beside], (floors[:beside], words[:beside], [NARROWEST] * beside), width)
    heading, *body = [_drawn(row[:beside], widths) for row in cells]
    line = "─" * (sum(widths) + len(GAP) * (beside - 1))
    below = [_below(headings[beside:], row[beside:], width) for row in rows]
    lines = [*heading, line, *(each for row, more in zip(body, below, strict=True) for each in (*row, *more))]
    return "".join(f"{each.rstrip()}\n" for each in lines)


def _beside(floors: Sequence[int], width: int) -> int:
    """How many columns there is room for when none is narrower than its floor."""
    beside = len(floors)
    while beside > BESIDE and sum(floors[:beside]) + len(GAP) * (beside - 1) > width:
        beside -= 1
    return beside


def _fitted(widths: list[int], stages: Sequence[Sequence[int]], width: int) -> list[int]:
    """The widest columns give way until all fit, each down to its floor of one stage before any goes below it in the next."""
    spare = width - len(GAP) * (len(widths) - 1)
    for floors in stages:
        while sum(widths) > spare:
            most = max((each for each, floor in zip(widths, floors, strict=True) if each > floor), default=0)
            if most <= NARROWEST:
                break
            widths = [
                each - 1 if each == most and each > floor else each for each, floor in zip(widths, floors, strict=True)
            ]
    return widths


def _below(headings: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    """What had no room beside the others; what says nothing is left out."""
    said = [
        f"{heading.lower()} {' '.join(cell.split())}"
        for heading, cell in zip(headings, row, strict=True)
        if cell not in ("", NOTHING)
    ]
    return [INDENT + part for part in _folded(" · ".join(said), max(NARROWEST, width - len(INDENT)))] if said else []


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
