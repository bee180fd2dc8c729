"""`Flow`: how fast an actor that somebody waits for gets through what waits, and what that means for the next one. Sans-IO.

The pace is measured, not computed from the time a call takes: it is the decayed mean of the seconds between one beginning
and the next while all places were taken, so places, processor, and other actors of the process are all in it.

    expected wait = pace · (ahead + 1)                ahead: those that would be begun before it
    in time       ⇔ `SURE` · expected wait + time of a call ≤ time that is left
"""

from __future__ import annotations

from mesh.actors.admitting.gradient import Gradient
from mesh.actors.admitting.returning import Line

SETTLED = 5
"""Measurements before the pace is believed."""
FINE = 0.001
"""Seconds that one measurement covers at least: as many beginnings as fall into it."""
ROUNDS = 8
"""Times that each place is taken anew until an old measurement counts a third."""
JUMP = 8.0
"""The most that one measurement counts, as a multiple of the pace: a process that was stopped for a minute is not slow."""
SURE = 1.25
TRICKLE = 1.0
SHARE = 10
"""Of what could not be done in time, one is let in every `TRICKLE` seconds, and at most one in `SHARE` that are begun: so
a pace that was measured wrong, or is over, is measured again."""


class Flow:
    """One actor's, from the first message on that had to wait. Times are monotonic seconds."""

    __slots__ = ("_began", "_busy", "_count", "_let_in", "_line", "_times", "gradient", "pace", "waits")

    def __init__(self, places: int, gradient: Gradient | None = None) -> None:
        self.gradient = gradient
        """What moves the capacity, where that is adaptive."""
        self.pace = 0.0
        """Seconds between two beginnings."""
        self.waits = True
        """Whether its handlers wait for something, so that the next can be begun meanwhile."""
        self._count = 0
        self._began = 0.0
        self._busy = False
        self._times = 0
        self._let_in = float("-inf")
        self._line = Line(places)

    @property
    def settled(self) -> bool:
        """Whether the pace is known."""
        return self._count >= SETTLED

    def crowded(self) -> None:
        """Something came, and all places are taken."""
        self._busy = True

    def began(self, now: float, *, waiting: bool, capacity: int, times: int = 1) -> None:
        """Something has been begun, or so many; `waiting`: something else still waits that might have been."""
        if self._busy and self._began:
            self._times += times
            seconds = now - self._began
            if seconds < FINE and waiting:
                return
            if seconds >= FINE:
                self._measured(seconds / self._times, capacity)
        self._began, self._busy, self._times = now, waiting, 0

    def _measured(self, seconds: float, capacity: int) -> None:
        self._count += 1
        if self._count > SETTLED:
            seconds = min(seconds, max(JUMP * self.pace, FINE))
        self.pace += (seconds - self.pace) * max(1 / self._count, 1 / (ROUNDS * capacity + 2))

    def lets_in(self, ahead: int, call: float, left: float) -> bool:
        """Whether it would be in time, with so many before it at most; or nobody knows."""
        return self._count < SETTLED or SURE * self.pace * (ahead + 1) + call <= left

    def late_by(self, ahead: int, call: float, left: float, now: float) -> float:
        """By how many seconds it would probably come too late, with so many before it; 0: it would not, or nobody knows.

        `call` are the seconds it takes, `left` those it has. To ask may let it in as one of the trickle.
        """
        if ahead <= 0 or not self.settled:
            return 0.0
        late = SURE * self.pace * (ahead + 1) + call - left
        if late <= 0 or now >= self._let_in + max(TRICKLE, SHARE * self.pace):
            if late > 0:
                self._let_in = now
            return 0.0
        return late

    def retry_after(self, now: float, call: float, capacity: int) -> float:
        """When to come back, each a little later than the one before. `call` are the seconds that a call takes."""
        return self._line.place(self.pace if self.settled else call / capacity, now)
