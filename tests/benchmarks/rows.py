"""What a bench says: a `Target` it is held to, and the `Row` that shows how it did."""

from __future__ import annotations

from typing import Literal

import msgspec

Better = Literal["lower", "higher"]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised. Missing the `floor` fails the run; the `aim` is what we work towards.

    A target without a floor is told for information. `unit` stands behind the figure: `x` for a ratio, `µs`, `ms`, `/s`.
    """

    name: str
    floor: float | None = None
    aim: float | None = None
    better: Better = "lower"
    unit: str = "x"


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two sides of a ratio: the median of its rounds as it was measured (seconds an operation, or operations
    a second), and processor seconds an operation in the bench's own process, in its other ones, and in the server."""

    figure: float
    here: float = 0.0
    there: float = 0.0
    server: float = 0.0

    def words(self) -> str:
        """Processor microseconds, for people."""
        parts = (("here", self.here), ("other", self.there), ("server", self.server))
        return ", ".join(f"{word} {seconds * 1e6:.0f}" for word, seconds in parts if seconds)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """How one target was met: the median of the rounds, the least and the most of them, and words for people.

    A row of a ratio has both sides of it.
    """

    target: Target
    figure: float
    least: float | None = None
    most: float | None = None
    about: str = ""
    rounds: int | None = None
    ours: Side | None = None
    base: Side | None = None

    @property
    def passed(self) -> bool:
        """Whether the floor holds; always so where there is none."""
        floor = self.target.floor
        if floor is None:
            return True
        return self.figure <= floor if self.target.better == "lower" else self.figure >= floor

    @property
    def remarks(self) -> str:
        """What is known beside the figure."""
        found = [self.about] if self.about else []
        if self.ours and self.ours.words():
            against = f"; base: {self.base.words()}" if self.base and self.base.words() else ""
            found.append(f"processor µs an operation: {self.ours.words()}{against}")
        return " · ".join(found)


class Skipped(Exception):
    """This bench cannot run here; the message says what to install."""
