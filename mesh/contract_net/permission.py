"""`Permission`: one award that a breaker lets through, until the breaker hears how that went."""

from __future__ import annotations

import msgspec

from mesh.protocols.ports import Clock
from mesh.resilience.breaker import Breaker, Permit, Verdict


class Permission(msgspec.Struct, frozen=True):
    """`started` is in seconds on the clock that the breaker is asked by."""

    breaker: Breaker
    permit: Permit
    started: float

    @classmethod
    def ask(cls, breaker: Breaker, now: float) -> Permission:
        """Let one call through.

        Raises:
            BreakerOpen: not now.
        """
        return cls(breaker, breaker.admit(now), now)

    def settle(self, verdict: Verdict, clock: Clock) -> None:
        """It went like this. Once."""
        now = clock.monotonic()
        self.breaker.record(self.permit, verdict, now - self.started, now)
