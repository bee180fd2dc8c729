"""`Permission`: one award that a breaker lets through, until the breaker hears how that went."""

from __future__ import annotations

import msgspec

from mesh.protocols.ports import Clock
from mesh.resilience.breaker import Breaker, Outcome, Permit


class Permission(msgspec.Struct, frozen=True):
    """`started` is in seconds on the clock that the breaker is asked by."""

    breaker: Breaker
    permit: Permit
    started: float

    @classmethod
    def ask(cls, breaker: Breaker, now: float, until: float) -> Permission:
        """Let one call through, that ends by `until`.

        Raises:
            BreakerOpen: not now.
        """
        return cls(breaker, breaker.admit(now, until), now)

    def settle(self, outcome: Outcome, clock: Clock) -> None:
        """It went like this. Once."""
        now = clock.monotonic()
        self.breaker.record(self.permit, outcome, now - self.started, now)

    def give_back(self, clock: Clock, *, expired: bool) -> None:
        """Nothing was heard of it. That counts against the target if it let the deadline pass and had the time it says it
        needs; whoever was cancelled, or given less, is not to blame."""
        late = expired and clock.monotonic() - self.started >= self.breaker.policy.slow
        self.settle("failure" if late else "ignored", clock)
