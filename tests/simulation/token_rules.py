"""`TokenRules`: over all processes together an agent uses no more tokens than its limit says, but for what nobody could know.

What a call uses is known when it has ended (one that its deadline ended early may have used nothing). What it took beyond its
ration is owed then, and drawn before anything else is given a ration there. So of the calls that had ended when their process
gave out another ration, all is paid for by then, and that is never more than `burst + rate × t`.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mesh.policy.policy import Policy
from mesh.protocols.policies import RateLimit
from mesh.protocols.ports import KeyValue
from tests.simulation.handling import Handling
from tests.simulation.place import HERE, Place
from tests.simulation.seams import Seams

if TYPE_CHECKING:
    from tests.simulation.invariants import Invariants

KEY = "limit.agent.clerk"


@dataclass
class Use:
    """A call of the limited agent, given its ration `at` in true time; `told_at` is when it is known that it has ended."""

    at: float
    handling: Handling
    told_at: float = -1.0


class TokenRules:
    """See the module."""

    def __init__(self, invariants: Invariants, seams: Seams) -> None:
        self._invariants = invariants
        self._limit: RateLimit | None = None
        self._read: set[Place] = set()
        self._used: list[Use] = []
        if "clerk" in invariants.world.configuration.guests:
            invariants.world.outside.handlings.on_begin.append(self._begun)
            seams.before(Policy, "_heard", self._heard)
            seams.before(Policy, "start", self._anew)

    def _anew(self, policy: Policy) -> None:
        self._read.discard(HERE.get())

    def _heard(self, policy: Policy, found: KeyValue) -> None:
        if found.key != KEY:
            return
        if found.value is None:
            self._read.discard(HERE.get())
        else:
            self._limit = msgspec.json.decode(found.value, type=RateLimit)
            self._read.add(HERE.get())

    def _begun(self, handling: Handling) -> None:
        if handling.context.agent != "clerk" or handling.place not in self._read or self._limit is None:
            return
        if handling.context._work.ration is None:
            return  # it came before its process had read of a limit
        offered = handling.context._work.offered_at - handling.place.offset
        for each in self._used:
            if each.handling.place is handling.place and each.handling.ended and each.told_at < 0:
                each.told_at = self._invariants.world.loop.now
        insort(self._used, Use(offered, handling), key=lambda each: each.at)
        self._look()

    def _look(self) -> None:
        """In any stretch of time: of what was offered in it, that which was paid for by its end."""
        assert self._limit is not None
        latest = {each.handling.place: each.at for each in self._used}
        rate, burst = (self._limit.tokens or 0.0) / 60, self._limit.token_burst or 0.0
        tokens, end = 0.0, self._used[-1].at
        for each in reversed(self._used):
            if 0 <= each.told_at < latest[each.handling.place]:
                tokens += each.handling.context.usage.tokens_in
            most = burst + rate * (end - each.at)
            if tokens > most + 1e-6:
                self._invariants.violated(
                    f"{tokens:g} tokens of clerk were used and paid for in {end - each.at:.2f} s: {most:g} may be, "
                    f"by {burst:g} + {rate:g} a second"
                )
                return
