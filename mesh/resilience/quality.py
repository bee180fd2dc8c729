"""`Quality`: stop using a version of an agent whose outputs keep failing their gates.

An agent may answer promptly and without an error, and be wrong. Gates say so, in verdicts; what they say is counted for each
agent *version* (`<agent>@<version>`) and capability. So it survives restarts of instances, and another version is fine.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable

from mesh.protocols.artifacts import Verdict
from mesh.protocols.errors import BreakerOpen
from mesh.protocols.ports import Clock
from mesh.resilience.breaker import Breaker, BreakerPolicy, Permit
from mesh.resilience.breakers import Breakers, Key
from mesh.resilience.quality_breaker import CONTRACT, QUALITY, QualityBreaker

OUTPUTS = 10_000
"""So many named outputs that failed are remembered, so that each counts once."""


def version_of(agent: str, version: str) -> str:
    """The target of a quality breaker."""
    return f"{agent}@{version}"


class Trial:
    """A call by which it is found out whether a version's outputs are well again."""

    __slots__ = ("_breaker", "_clock", "_permit")

    def __init__(self, breaker: QualityBreaker, permit: Permit, clock: Clock) -> None:
        self._breaker = breaker
        self._permit: Permit | None = permit
        self._clock = clock

    def give_back(self) -> None:
        """The call ended without an output: its place is another's. Again: nothing happens."""
        permit, self._permit = self._permit, None
        if permit is not None:
            self._breaker.give_back(permit, self._clock.monotonic())


class Quality(Breakers):
    """The quality breakers of one process."""

    def __init__(self, clock: Clock, source: random.Random, policy: BreakerPolicy = QUALITY) -> None:
        super().__init__(clock, source, policy, kind="quality")
        self._failed: OrderedDict[tuple[Key, str], None] = OrderedDict()
        self.on_wanting: Callable[[str, str, str], None] = lambda agent, version, capability: None
        """Hears of each output that is found wanting: its agent, version and capability. Bids learn from it."""

    def fits(self, key: Key) -> None:
        """An output of that version, for that capability, fits its contract. Of nobody in particular: nothing happens."""
        breaker = self._breakers.get(key)
        if type(breaker) is QualityBreaker:
            breaker.fits(self._clock.monotonic())
        elif key[0]:
            self._gated(key).fits(self._clock.monotonic())

    def misfits(self, key: Key) -> None:
        """An output does not fit its contract; as `fits`."""
        if not key[0]:
            return
        self._gated(key).said(CONTRACT, passed=False, now=self._clock.monotonic())
        agent, _, version = key[0].rpartition("@")
        self.on_wanting(agent, version, key[1])

    def record(self, agent: str, version: str, capability: str, verdict: Verdict, *, output: str = "") -> None:
        """A gate's verdict on an output of that version. `output` names it (an artifact, an award): named, it counts once
        however many of its gates it fails. A minor failure, or a gate that could not tell, counts for nothing."""
        if verdict.result == "cannot_verify" or (not verdict.passed and verdict.severity == "minor"):
            return
        key = (version_of(agent, version), capability)
        again = not verdict.passed and bool(output) and self._has_failed((key, output))
        self._gated(key).said(verdict.gate, passed=verdict.passed, again=again, now=self._clock.monotonic())
        if not verdict.passed and not again:
            self.on_wanting(agent, version, capability)

    def admit(self, key: Key, until: float | None = None) -> Trial | None:
        """A call goes to that version; half-open, it takes one of the trial permits, until a verdict comes. Whoever gets none to
        judge, since the call came to nothing, gives it back.

        Raises:
            BreakerOpen: its outputs kept failing their gates; `detail` has the `kind`, `quality`.
        """
        breaker = self.troubled.get(key)
        if breaker is None:
            return None
        assert isinstance(breaker, QualityBreaker)
        try:
            return Trial(breaker, breaker.admit(self._clock.monotonic(), until), self._clock)
        except BreakerOpen as error:
            error.detail["kind"] = self.kind
            raise

    def _gated(self, key: Key) -> QualityBreaker:
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self.of(*key)
        assert isinstance(breaker, QualityBreaker)
        return breaker

    def _new(self, key: Key, policy: BreakerPolicy) -> Breaker:
        return QualityBreaker(policy, self._random, lambda passage: self._changed(key, passage))

    def _has_failed(self, output: tuple[Key, str]) -> bool:
        seen = output in self._failed
        self._failed[output] = None
        if len(self._failed) > OUTPUTS:
            self._failed.popitem(last=False)
        return seen
