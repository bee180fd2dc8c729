"""What a process tells of bidders, and when: with beats that leave anyway, a few at a time, and only what has changed.

Without I/O. The measurements are those of its own awards; they come from whoever makes these (`Source`). A process that
hosts nobody sends no beats, so that what a mere client measures stays its own.
"""

from __future__ import annotations

from typing import Protocol

from mesh.protocols.conduct import Statement

EVERY = 5.0
"""Seconds between two beats that tell of bidders."""
AGAIN = 60.0
"""Seconds after which everything is told again, changed or not: a beat may have been lost."""
MOST = 32
"""Statements in one beat: some 10 KB."""


class Source(Protocol):
    """Whoever measures."""

    def testify(self, most: int, now: float, *, changed: bool) -> tuple[Statement, ...]:
        """The weightiest of its records as they count `now`, at most so many; only those `changed` since they were told last,
        or all."""


class Statements:
    """Those of one process. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.source: Source | None = None
        self._told_at = self._all_told_at = float("-inf")

    def due(self, now: float) -> tuple[Statement, ...]:
        """What the beat that leaves now tells; mostly nothing."""
        if self.source is None or now < self._told_at + EVERY:
            return ()
        self._told_at = now
        everything = now >= self._all_told_at + AGAIN
        if everything:
            self._all_told_at = now
        return self.source.testify(MOST, now, changed=not everything)

    def everything(self, now: float) -> tuple[Statement, ...]:
        """All that may be told at once, for somebody who asks."""
        return () if self.source is None else self.source.testify(MOST, now, changed=False)
