"""`Pulse`: whether a process hangs, from its heartbeats. Decides purely: it is told the time."""

from __future__ import annotations


class Pulse:
    """The heartbeats of one process. `hung_after` in seconds.

    A look that comes much later than the one before says that we ourselves stood still (a suspended terminal, a busy
    machine): heartbeats may be waiting unread, so nobody is judged by that look.
    """

    def __init__(self, hung_after: float) -> None:
        self._hung_after = hung_after
        self._heard: float | None = None
        self._looked: float | None = None

    def heard(self, now: float) -> None:
        """A heartbeat came, or the process became ready."""
        self._heard = now

    def forget(self) -> None:
        """The process was started anew: nothing is expected until it is heard."""
        self._heard = self._looked = None

    def silent_for(self, now: float) -> float:
        """Seconds since the last heartbeat; 0 before the first."""
        return 0.0 if self._heard is None else max(0.0, now - self._heard)

    def hangs(self, now: float) -> bool:
        """Whether it has been silent for too long. To be asked several times within `hung_after`."""
        looked, self._looked = self._looked, now
        if self._heard is None:
            return False
        if looked is None or now - looked > self._hung_after / 2:
            self._heard = max(self._heard, now - self._hung_after / 2)
            return False
        return self.silent_for(now) > self._hung_after
