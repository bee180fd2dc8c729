"""Hedging: a second attempt elsewhere, after the time in which nineteen of twenty calls are answered. Sans-IO.

It buys a shorter tail with a few extra calls, and only of work that is `pure`. It never buys much: at most a twentieth of
the calls have a second attempt, none while the target says that it has too much to do, and none while we are late ourselves.
"""

from __future__ import annotations

import msgspec

from mesh.protocols.errors import BreakerOpen, Draining, MeshError, NoBids, Overloaded, Refused
from mesh.resilience.budget import RetryBudget
from mesh.resilience.quantile import Quantile

LIMIT = 1_000
"""More targets than this are not remembered."""
LATE = 2.0
"""A hedge that is due after so many times its delay says that this process has too much to do itself."""


class Hedge(msgspec.Struct, frozen=True, kw_only=True):
    """When to make a second attempt: after `quantile` of the measured latency, once `least` calls were measured; for at
    most `share` of the calls. After the target was too busy, none for `hold` seconds, or as many as it says."""

    quantile: float = 0.95
    share: float = 0.05
    least: int = 20
    hold: float = 5.0


DEFAULT = Hedge()


class Pace:
    """How fast one target answers, and how many second attempts are left for it."""

    def __init__(self, hedge: Hedge) -> None:
        self.hedge = hedge
        self.latency = Quantile(hedge.quantile)
        self._budget = RetryBudget(hedge.share, reserve=0.0, most=10.0)
        self._held_until = 0.0
        self._delay: float | None = None

    def called(self) -> None:
        """A call was made, with a first attempt."""
        self._budget.called()

    def delay(self, now: float) -> float | None:
        """Seconds after which a second attempt is worth its cost; None: it is not, whatever happens."""
        if self.latency.count < self.hedge.least or now < self._held_until or self._budget.left < 1.0 - 1e-9:
            return None
        if self._delay is None:
            self._delay = self.latency.estimate()
        return self._delay

    def begin(self, waited: float, now: float) -> bool:
        """May the second attempt be made, `waited` seconds after the first? If so, it is taken from the budget."""
        due = self._delay
        if due is None or now < self._held_until or waited > max(LATE * due, due + 0.01):
            return False
        return self._budget.spend()

    def answered(self, seconds: float) -> None:
        """An attempt took so long. One that was cancelled has taken longer than it had: that counts as well."""
        self.latency.add(seconds)
        if self.latency.count % 10 == 0:
            self._delay = None

    def failed(self, error: BaseException, now: float) -> None:
        """An attempt failed: whoever has too much to do is not asked twice."""
        if isinstance(error, Overloaded | Draining | BreakerOpen | NoBids) or _declined(error):
            asked = error.retry_after if isinstance(error, MeshError) else None
            self._held_until = max(self._held_until, now + max(self.hedge.hold, asked or 0.0))


class Paces:
    """Those of one process, by target and command."""

    def __init__(self) -> None:
        self._paces: dict[tuple[str, str], Pace] = {}

    def of(self, target: str, command: str, hedge: Hedge | bool = True) -> Pace:
        """The pace of a target's command. Another `Hedge` than before begins anew."""
        wanted, key = hedge if isinstance(hedge, Hedge) else DEFAULT, (target, command)
        found = self._paces.get(key)
        if found is None or (found.hedge is not wanted and found.hedge != wanted):
            if len(self._paces) >= LIMIT:
                self._paces.clear()
            found = self._paces[key] = Pace(wanted)
        return found


def _declined(error: BaseException) -> bool:
    return isinstance(error, Refused) and error.detail.get("reason") == "capacity"
