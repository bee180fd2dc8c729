"""How many messages a consumer keeps in store for its callers: as many as they use up in a moment, at most so many."""

from __future__ import annotations

MOMENT = 0.1
"""Seconds for which there should be enough, at the speed of late."""


class Window:
    """Grows with the callers' speed and shrinks with it: who works slowly holds nothing that others could work on.

    `ahead` is how many to have in store or on their way, beside those that somebody waits for; 0 with `most` 1.
    """

    def __init__(self, most: int, now: float) -> None:
        self.ahead = 0
        self._most = most
        self._taken = 0
        self._since = now

    def take(self) -> None:
        """A caller has got a message."""
        self._taken += 1

    def measure(self, now: float) -> None:
        """Fit it to what was taken since the last time."""
        elapsed = now - self._since
        if self._most > 1 and elapsed > 0:
            ahead = min(self._most, round(self._taken / elapsed * MOMENT))
            self.ahead = ahead if ahead > 1 else 0
        self._taken, self._since = 0, now
