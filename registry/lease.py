"""The lease of one process, decided without I/O: `Term` is told what happened, and says where the lease stands.

`holder.py` reads and writes the bucket and feeds this. The count runs from *before* the publish that was acknowledged, so
that we never believe in a lease that the server has already let expire.
"""

from __future__ import annotations

from typing import Literal

from mesh.protocols.errors import Refused
from mesh.protocols.transitions import follow
from mesh.registry.records import Lease

TermState = Literal["idle", "held", "missing", "lost", "taken", "released"]
TermStep = Literal["acquired", "vanished", "lapsed", "superseded", "released"]

TRANSITIONS: dict[TermState, dict[TermStep, TermState]] = {
    "idle": {"acquired": "held", "superseded": "taken", "released": "released"},
    "held": {
        "acquired": "held",
        "vanished": "missing",
        "lapsed": "lost",
        "superseded": "taken",
        "released": "released",
    },
    "missing": {
        "acquired": "held",
        "vanished": "missing",
        "lapsed": "lost",
        "superseded": "taken",
        "released": "released",
    },
    "lost": {
        "acquired": "held",
        "vanished": "lost",
        "lapsed": "lost",
        "superseded": "taken",
        "released": "released",
    },
    "taken": {"released": "released"},
    "released": {},
}

MEANINGS: dict[TermStep, str] = {
    "acquired": "a write of our lease was acknowledged",
    "vanished": "the lease is gone from the bucket, though its time had not run out: it is written again at once",
    "lapsed": "a whole lease passed since the last acknowledged write began",
    "superseded": "another incarnation holds the process name",
    "released": "we gave it back",
}


class NameTaken(Refused):
    """Another living process holds the name. The message says which, and what to do. `detail` carries `holder`."""

    code = "name-taken"


def name_taken(holder: Lease) -> NameTaken:
    """The error for whoever comes second."""
    return NameTaken(
        f"the process name {holder.process!r} is already in use by pid {holder.pid} on host {holder.host!r}: "
        "stop that one (`mesh down --host NAME`), or start this one under another name "
        "(`mesh up --host-name NAME`, or process= when connecting)",
        detail={"reason": "name-taken", "holder": {"host": holder.host, "pid": holder.pid}},
    )


class Term:
    """Where our lease stands. Times are readings of a monotonic clock, in seconds."""

    def __init__(self, seconds: int) -> None:
        if seconds < 1 or seconds != int(seconds):
            raise ValueError(f"a lease lasts whole seconds, at least 1; got {seconds}")
        self.seconds = int(seconds)
        self.state: TermState = "idle"
        self.revision = 0
        self._counted_from = 0.0

    @property
    def expires_at(self) -> float:
        """When the count runs out, unless a write is acknowledged before."""
        return self._counted_from + self.seconds

    @property
    def over(self) -> bool:
        """Whether nothing will bring it back."""
        return self.state in ("taken", "released")

    def holds(self, now: float) -> bool:
        """Whether the lease is ours for certain."""
        return self.state == "held" and now < self.expires_at

    def confident(self, now: float) -> bool:
        """Whether it was acknowledged within half a lease: who is not confident starts no new effect."""
        return self.holds(now) and now < self._counted_from + self.seconds / 2

    def acquired(self, revision: int, began: float) -> bool:
        """A write that began at `began` was acknowledged. True if the lease had been lost before."""
        regained = self.state == "lost"
        self._step("acquired")
        self.revision = revision
        self._counted_from = began
        return regained

    def adopt(self, revision: int) -> None:
        """A read shows that an unacknowledged write of ours was stored. It counts for nothing but the next guard."""
        self.revision = revision

    def vanished(self) -> None:
        """The lease is not in the bucket."""
        self._step("vanished")
        self.revision = 0

    def lapse(self, now: float) -> bool:
        """Look at the clock. True exactly once for each time that the count has run out."""
        if self.state not in ("held", "missing") or now < self.expires_at:
            return False
        self._step("lapsed")
        return True

    def superseded(self) -> bool:
        """Another incarnation is there. True the first time."""
        if self.over:
            return False
        self._step("superseded")
        return True

    def released(self) -> None:
        """We gave it back. Again: nothing happens."""
        if self.state != "released":
            self._step("released")

    def _step(self, step: TermStep) -> None:
        self.state = follow(TRANSITIONS, self.state, step)
