"""Making a piece of Python out of the middle of a file parse, without moving any line.

A hunk starts and ends anywhere: inside a block, at an `else:`, in the middle of a call. The piece is dedented, then lines
at whichever end leaves more standing are turned into comments (tools that read text still see them), until the rest
parses. Line numbers stay what they were.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

MOST_TRIMMED = 8
"""Lines that may be given up at each end. Each pair of ends is tried once, so this bounds the work."""


MOST_PARSED = 8_000_000
"""Characters that are parsed for one patch, all tries together: some fifteen seconds where nothing parses."""


class Parses:
    """Says whether a text parses, until it was asked about too much: from then on nothing does, and it is `exhausted`."""

    def __init__(self) -> None:
        self._room = MOST_PARSED

    @property
    def exhausted(self) -> bool:
        """Whether it has given up."""
        return self._room <= 0

    def __call__(self, text: str) -> bool:
        """Whether it does."""
        if self.exhausted:
            return False
        self._room -= len(text)
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
        return True


def parsing_fragment(lines: Sequence[str], parses: Callable[[str], bool]) -> list[str]:
    """The lines, as many of them as parse together, each at its place; the others, maybe all, as comments."""
    for first, last in _cuts(len(lines)):
        kept = dedented(lines[first:last])
        if any(line.strip() for line in kept) and parses("\n".join(kept) + "\n"):
            return [*_comments(lines[:first]), *kept, *_comments(lines[last:])]
    return _comments(lines)


def _comments(lines: Sequence[str]) -> list[str]:
    return [f"# {line}" if line.strip() else line for line in lines]


def _cuts(count: int) -> list[tuple[int, int]]:
    """Where to begin and end, fewest lines given up first."""
    most = min(MOST_TRIMMED, count)
    pairs = [(top, bottom) for top in range(most) for bottom in range(most) if top + bottom < count]
    return [(top, count - bottom) for top, bottom in sorted(pairs, key=lambda pair: (sum(pair), pair))]


def dedented(lines: Sequence[str]) -> list[str]:
    """The lines moved left by the indentation of the first that has any text; those further left stay where they are."""
    indent = next((line[: len(line) - len(line.lstrip())] for line in lines if line.strip()), "")
    return [line.removeprefix(indent) for line in lines]
