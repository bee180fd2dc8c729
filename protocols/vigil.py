"""The watch over the winner of an award: how long to be patient, when to probe, when to give up.

Part of an auction. The first answer is awaited for `patience` seconds; once the winner has answered it is probed every
`check` seconds, since a result may get lost. A probe is a copy of the award with the next attempt number; `probes` of them
without an answer and the winner is lost.
"""

from __future__ import annotations

from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.selection import SelectionPolicy


class Vigil:
    """One award. `due` is when something is to be done, None before it was sent."""

    def __init__(self, record: AwardRecord, winner: Candidate, policy: SelectionPolicy) -> None:
        self.record = record
        self.winner = winner
        self.attempt = 1
        self.probes = 0
        self.due: float | None = None
        self.lenient_until = 0.0
        self.sent = False
        self.heard = False
        self._policy = policy

    def left(self, now: float) -> None:
        """The award has left. Again, or after an answer came: nothing happens."""
        if not self.sent:
            self.sent, self.due = True, now + self._policy.patience

    def alive(self, now: float) -> None:
        """The winner has answered."""
        self.sent = self.heard = True
        self.probes, self.due = 0, now + self._policy.check

    def probe(self, now: float) -> int:
        """Another copy goes out: its attempt number."""
        self.sent = True
        self.attempt += 1
        self.probes += 1
        self.due = now + self._policy.probe
        return self.attempt

    def forgive(self, now: float) -> None:
        """The server was away: the winner, too, has to find back. Until then neither silence nor a 503 proves anything."""
        self.lenient_until = now + self._policy.grace

    def lenient(self, now: float) -> bool:
        """Whether the winner still has time to find back."""
        return now < self.lenient_until

    def exhausted(self, now: float) -> bool:
        """Whether enough probes went unanswered."""
        return self.probes >= self._policy.probes and not self.lenient(now)

    def never_received(self, attempt: int) -> bool:
        """Whether a 503 to this copy proves that the winner never got the award: to the first copy only."""
        return attempt == 1 and not self.heard
