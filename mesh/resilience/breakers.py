"""`Breakers`: the breakers of one process and kind, one for each (target, capability), made when first needed.

`guard` is the way to call through one. Those that are not closed are this process's *votes*: they travel in its heartbeats,
and an instance that several processes vote against is passed over by everybody. Somebody must try it again, then: `due` says
where a trial call may go. A vote of a process that makes no use of its trial calls lapses.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from types import TracebackType

from msgspec.structs import replace

from mesh.protocols.breaker_rows import BreakerKind, BreakerRow, BreakersWanted, Passage
from mesh.protocols.ports import Clock
from mesh.resilience.breaker import Breaker, BreakerPolicy, Permit
from mesh.resilience.breaker_names import Key as Key
from mesh.resilience.breaker_names import meant
from mesh.resilience.outcome import outcome

SLOW_SHARE = 0.8
"""A call that takes more than this share of its capability's default timeout is slow."""
LIMIT = 10_000
"""More breakers than this are not kept: the oldest closed ones are forgotten first."""
VOTE = 60.0
"""Seconds for which an open breaker counts as a vote though nobody here calls its target any more."""
REPEATABLE_FIRST = 5.0
"""Seconds for which trial calls are left to work that may be repeated (pure, idempotent), if there is any."""

Changed = Callable[[Key, Passage], None]


class Guard:
    """One call through one breaker: `with breakers.guard(target, capability): …`."""

    __slots__ = ("_breaker", "_clock", "_permit", "_started", "_timed")

    def __init__(self, breaker: Breaker, clock: Clock, *, timed: bool = True) -> None:
        self._breaker = breaker
        self._clock = clock
        self._timed = timed
        self._permit: Permit | None = None
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = self._clock.monotonic()
        self._permit = self._breaker.admit(self._started)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._permit is not None
        now = self._clock.monotonic()
        self._breaker.record(self._permit, outcome(error), now - self._started if self._timed else 0.0, now)


class Breakers:
    """Every breaker of one kind in this process. Callbacks hear of each change: `(target, capability), passage`."""

    def __init__(
        self, clock: Clock, source: random.Random, policy: BreakerPolicy | None = None, *, kind: BreakerKind = "call"
    ) -> None:
        self.policy = policy or BreakerPolicy()
        self.kind = kind
        self.troubled: dict[Key, Breaker] = {}
        """Those that are not closed: nearly always none, and then nobody need ask one by one."""
        self._clock = clock
        self._random = source
        self._breakers: dict[Key, Breaker] = {}
        self._callbacks: list[Changed] = []

    def on_change(self, callback: Changed) -> None:
        """Call this whenever a breaker changes its state."""
        self._callbacks.append(callback)

    # -- calling

    def of(self, target: str, capability: str, *, timeout: float | None = None) -> Breaker:
        """The breaker of a target's capability; `timeout`, the capability's default, sets what is slow at its making."""
        key = (target, capability)
        breaker = self._breakers.get(key)
        return self._made(key, timeout) if breaker is None else breaker

    def find(self, target: str, capability: str) -> Breaker | None:
        """The breaker of a target's capability, if it was needed before."""
        return self._breakers.get((target, capability))

    def guard(self, target: str, capability: str, *, timeout: float | None = None, timed: bool = True) -> Guard:
        """A call through the breaker; `timed` false where its length says nothing of the target, as of a stream's.

        Raises (on entering):
            BreakerOpen: nothing was sent.
        """
        return Guard(self.of(target, capability, timeout=timeout), self._clock, timed=timed)

    # -- choosing

    def allows(self, target: str, capability: str) -> bool:
        """Whether a call would be let through now; reserves nothing."""
        breaker = self.troubled.get((target, capability))
        return breaker is None or breaker.would_admit(self._clock.monotonic())

    def due(self, target: str, capability: str, *, repeatable: bool) -> bool:
        """Whether a trial call should go there now. Work that may not be repeated waits a little for some that may."""
        breaker = self.troubled.get((target, capability))
        if breaker is None or breaker.state == "forced-open":
            return False
        now = self._clock.monotonic()
        return now >= breaker.retry_at + (0.0 if repeatable else REPEATABLE_FIRST) and breaker.would_admit(now)

    def votes(self) -> tuple[str, ...]:
        """The targets that calls from here are kept from, as `target capability`: what heartbeats tell. One that a person
        forced open is no evidence, and one whose trial calls nobody has made use of for long is none any more."""
        now = self._clock.monotonic()
        return tuple(f"{target} {what}" for (target, what), each in self.troubled.items() if _votes(each, now))

    def lapse_at(self) -> float | None:
        """When the next vote may lapse, None while there are none. What comes after that is for whoever tells the votes."""
        now = self._clock.monotonic()
        return min(
            (max(each.asked_at, now) + VOTE for each in self.troubled.values() if _votes(each, now)), default=None
        )

    # -- a person

    def force(self, target: str, capability: str, reason: str, by: str = "") -> None:
        """The kill switch of one target's capability. Again: only who and why change."""
        self.of(target, capability).force(reason, self._clock.monotonic(), by)

    def release(self, target: str, capability: str, by: str = "") -> None:
        """Close it, forced or not. One that is closed or unknown: nothing happens."""
        if (target, capability) in self.troubled:
            self.of(target, capability).release(self._clock.monotonic(), by)

    def reset(self, target: str, capability: str, by: str = "") -> None:
        """Have it forget what it counted; an open one closes, a forced one does not."""
        if breaker := self.find(target, capability):
            breaker.reset(self._clock.monotonic(), by)

    def meant(self, wanted: BreakersWanted) -> list[Key]:
        """Those that a person means."""
        return [key for key in sorted(self._breakers) if meant(wanted, self.kind, key)]

    def rows(self, keys: list[Key] | None = None, *, history: bool = False) -> list[BreakerRow]:
        """These, or all, as they are listed."""
        chosen = sorted(self._breakers) if keys is None else keys
        return list(self._rows(chosen, history))

    def forget(self, target: str) -> None:
        """The target is gone for good: its breakers are dropped, but for those that a person forced open."""
        gone = [key for key, each in self._breakers.items() if key[0] == target and each.state != "forced-open"]
        for key in gone:
            del self._breakers[key]
            self.troubled.pop(key, None)

    # -- inside

    def _rows(self, keys: list[Key], history: bool) -> Iterator[BreakerRow]:
        now, wall = self._clock.monotonic(), self._clock.now()
        for key in keys:
            each = self._breakers[key]
            calls, failed, slow = each.counts(now)
            told = (replace(passage, at=wall - (now - passage.at)) for passage in each.history)
            yield BreakerRow(
                kind=self.kind, target=key[0], capability=key[1], state=each.state, reason=each.reason, by=each.by,
                calls=calls, failed=failed, slow=slow,
                permits=each.permits(now) if each.state == "half-open" else None,
                retry_in=max(0.0, each.retry_at - now) if each.state == "open" else None,
                history=tuple(told) if history else (),
            )  # fmt: skip

    def _made(self, key: Key, timeout: float | None) -> Breaker:
        policy = self.policy
        if timeout is not None:
            policy = replace(policy, slow=SLOW_SHARE * timeout, hold=max(policy.hold, timeout))
        breaker = self._breakers[key] = self._new(key, policy)
        if len(self._breakers) > LIMIT:
            self._forget_one(key)
        return breaker

    def _new(self, key: Key, policy: BreakerPolicy) -> Breaker:
        return Breaker(policy, self._random, lambda passage: self._changed(key, passage))

    def _changed(self, key: Key, passage: Passage) -> None:
        breaker = self._breakers.get(key)
        if breaker is None or breaker.state != passage.state:
            return  # of one that was forgotten meanwhile, and perhaps made anew
        if passage.state == "closed":
            self.troubled.pop(key, None)
        else:
            self.troubled[key] = breaker
        for callback in self._callbacks:
            callback(key, passage)

    def _forget_one(self, new: Key) -> None:
        """The oldest that is closed; if none is, the oldest that nobody forced."""
        for dispensable in ({"closed"}, {"open", "half-open"}):
            found = (key for key, each in self._breakers.items() if each.state in dispensable and key != new)
            if (oldest := next(found, None)) is not None:
                del self._breakers[oldest]
                self.troubled.pop(oldest, None)
                return


def _votes(breaker: Breaker, now: float) -> bool:
    return breaker.state != "forced-open" and not breaker.idle(now, VOTE)
