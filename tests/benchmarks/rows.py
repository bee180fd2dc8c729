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


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """How one target was met: the median of the rounds, the least and the most of them, and words for people."""

    target: Target
    figure: float
    least: float | None = None
    most: float | None = None
    about: str = ""

    @property
    def passed(self) -> bool:
        """Whether the floor holds; always so where there is none."""
        floor = self.target.floor
        if floor is None:
            return True
        return self.figure <= floor if self.target.better == "lower" else self.figure >= floor


class Skipped(Exception):
    """This bench cannot run here; the message says what to install."""
