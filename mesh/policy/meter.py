"""`Meter`: one rate limit, of one kind, in one process. `Reservation`: what was set aside for one call out of some of them."""

from __future__ import annotations

import asyncio

from mesh.policy.allowance import Allowance
from mesh.protocols.policies import Kind, RateLimit
from mesh.protocols.ports import Clock


class Meter:
    """One limit of one kind, in one process. `for_tokens`: it counts tokens, else calls."""

    def __init__(self, key: str, kind: Kind, limit: RateLimit, allowance: Allowance) -> None:
        self.key, self.kind, self.limit, self.allowance = key, kind, limit, allowance
        self.drawing = asyncio.Lock()
        self.usual = 1.0
        """The decayed mean of what is used at a time: what is set aside where nobody knows better."""

    def idle(self, now: float) -> bool:
        """Whether nothing is lost with it: it holds nothing, owes nothing, and nobody is drawing."""
        return not (self.allowance.debt or self.allowance.in_hand(now) or self.drawing.locked())

    @property
    def for_tokens(self) -> bool:
        """Whether it counts tokens, which are known only afterwards."""
        return self.kind == "tokens"


Taken = tuple[Meter, float, float]
"""Out of which meter, how much, and until when the slice is good that it was taken from."""


class Reservation:
    """What was set aside for one call. `settle` it with what it came to, or `cancel` it if it never began."""

    __slots__ = ("_clock", "_taken")

    def __init__(self, clock: Clock, taken: list[Taken]) -> None:
        self._clock = clock
        self._taken = taken

    def settle(self, tokens: float) -> None:
        """So many tokens were used: the difference is given back, or owed. Again: nothing happens."""
        now = self._clock.monotonic()
        for meter, amount, good_until in self._taken:
            if meter.for_tokens:
                meter.usual += 0.2 * (tokens - meter.usual)
                if tokens > amount:
                    meter.allowance.owe(tokens - amount, now)
                else:
                    meter.allowance.give_back(amount - tokens, now, good_until)
        self._taken = []

    def cancel(self) -> None:
        """It never began: all of it is given back. Again: nothing happens."""
        now = self._clock.monotonic()
        for meter, amount, good_until in self._taken:
            meter.allowance.give_back(amount, now, good_until)
        self._taken = []
