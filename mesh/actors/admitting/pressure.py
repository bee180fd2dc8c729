"""`Pressure`: whether a whole process has too much in hand, and which priorities it takes on then. Sans-IO but for two readings.

Two things are looked at, ten times a second at most, and only while something is offered:

    how late the event loop is, which the heart measures each beat        bounds `LAG`
    how many messages wait, in all mailboxes together                     bounds `WAITING`

Beyond the first bound priority 3 is refused, beyond the second also 2 (the default), beyond the third 1. Priority 0 is refused
beyond the fourth bound of those that wait: memory ends for everybody. One late beat is no overload, two in a row are; and a
loop is late in vain where nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.actors.admitting.fairness import priority_of
from mesh.actors.admitting.returning import Line
from mesh.actors.running.work import Work
from mesh.protocols.constraints import PRIORITIES
from mesh.protocols.errors import Overloaded

if TYPE_CHECKING:
    from mesh.actors.running.actor import Actor

LAG = (0.5, 1.0, 2.0)
"""Seconds: a lease lasts three."""
WAITING = (50_000, 100_000, 150_000, 200_000)
"""Messages: some 2 KB each, their payloads apart."""
LOOK = 0.1
"""Seconds between two looks."""
LINE = 200
"""Places in the line of those who are told when to come back, `APART` seconds apart."""
APART = 0.01
LEAST = PRIORITIES[-1]


class Pressure:
    """One process's. `takes` is the least urgent priority that is taken on now: 3 is everything, -1 nothing."""

    __slots__ = (
        "_busy",
        "_lag",
        "_line",
        "_reading",
        "lag_bounds",
        "look_at",
        "takes",
        "waiting",
        "waiting_bounds",
        "why",
    )

    def __init__(self, lag: Callable[[], float]) -> None:
        self._lag = lag
        self._busy: set[Actor] = set()
        self._reading = (0.0, 0.0)
        self._line = Line(LINE)
        self.lag_bounds: tuple[float, ...] = LAG
        self.waiting_bounds: tuple[int, ...] = WAITING
        self.look_at = float("-inf")
        self.takes = LEAST
        self.waiting = 0
        """Messages in all mailboxes, when it was looked at last."""
        self.why = ""

    def busy(self, actor: Actor) -> None:
        """Something waits for this actor, or runs. Again: nothing happens."""
        self._busy.add(actor)

    def look(self, now: float) -> None:
        """Look again, and forget actors that have nothing to do."""
        self.look_at = now + LOOK
        self._busy = {actor for actor in self._busy if actor.waiting or actor.active}
        self.waiting = sum(actor.waiting for actor in self._busy)
        lag = self._lag()
        if lag != self._reading[-1]:
            self._reading = (self._reading[-1], lag)
        self._judge(min(self._reading) if self.waiting else 0.0)

    def _judge(self, lag: float) -> None:
        late = sum(lag > bound for bound in self.lag_bounds)
        full = sum(self.waiting > bound for bound in self.waiting_bounds)
        self.takes = LEAST - max(late, full)
        if self.takes < LEAST:
            self.why = f"{self.waiting} messages wait" if full >= late else f"the event loop is {lag:.1f} s late"

    def check(self, work: Work, now: float) -> None:
        """Nothing, if work of this priority is taken on.

        Raises:
            Overloaded: it is not; says why, and when to come back.
        """
        priority = priority_of(work)
        if priority > self.takes:
            raise Overloaded(
                f"{self.why} in this process: nothing of priority {priority} is taken on",
                retry_after=2 * LOOK + self._line.place(APART, now),
                detail={"priority": priority, "taken": self.takes},
            )
