"""`Permission`: one award that breakers let through, until they hear how that went."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mesh.protocols.errors import BreakerOpen
from mesh.protocols.ports import Clock
from mesh.resilience.breaker import Breaker, Outcome, Permit
from mesh.resilience.quality import Trial

AsksTrial = Callable[[], Trial | None]


class Permission(msgspec.Struct, frozen=True):
    """`started` is in seconds on the clock that the breaker is asked by; `trial`, if its output is one of a trial."""

    breaker: Breaker
    permit: Permit
    started: float
    trial: Trial | None = None

    @classmethod
    def ask(cls, breaker: Breaker, now: float, until: float, trial: AsksTrial | None = None) -> Permission:
        """Let one call through, that ends by `until`. `trial` asks whether the version's outputs are trusted, if any are not.

        Raises:
            BreakerOpen: not now; nothing is held.
        """
        permit = breaker.admit(now, until)
        if trial is None:
            return cls(breaker, permit, now)
        try:
            return cls(breaker, permit, now, trial())
        except BreakerOpen:
            breaker.record(permit, "ignored", 0.0, now)
            raise

    def settle(self, outcome: Outcome, clock: Clock) -> None:
        """It went like this. Once. Only where something was delivered, a verdict on it is to come."""
        now = clock.monotonic()
        self.breaker.record(self.permit, outcome, now - self.started, now)
        if outcome != "success":
            self.unjudged()

    def give_back(self, clock: Clock, *, expired: bool) -> None:
        """Nothing was heard of it. That counts against the target if it let the deadline pass and had the time it says it
        needs; whoever was cancelled, or given less, is not to blame."""
        late = expired and clock.monotonic() - self.started >= self.breaker.policy.slow
        self.settle("failure" if late else "ignored", clock)

    def unjudged(self) -> None:
        """There is no output to judge. Again: nothing happens."""
        if self.trial is not None:
            self.trial.give_back()
