"""`Line`: tells those who find no room when to come back: one after the other, as fast as places become free. Sans-IO."""

from __future__ import annotations

LEAST = 0.005
"""Seconds between two places of the line, at least."""


class Line:
    """Everybody told the same would come back in the same moment. Nobody is promised anything, and the line is never longer
    than `places`: those who gave up, or found room elsewhere, do not say so.
    """

    __slots__ = ("_next", "_places")

    def __init__(self, places: int) -> None:
        self._places = places
        self._next = 0.0

    def place(self, pace: float, now: float) -> float:
        """Seconds to wait, when one place becomes free each `pace` seconds."""
        pace = max(LEAST, pace)
        self._next = min(max(self._next, now) + pace, now + self._places * pace)
        return self._next - now
