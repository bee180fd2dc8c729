"""`Breakers`: the breakers of one process, one for each (target, capability), made when first needed.

`guard` is the only way to call through one. Which errors count is decided by their `blame`: only the target's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

from msgspec.structs import replace

from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Clock
from mesh.resilience.breaker import Breaker, BreakerPolicy, Permit, State, Verdict

SLOW_SHARE = 0.8
"""A call that takes more than this share of its capability's default timeout is slow."""
LIMIT = 10_000
"""More closed breakers than this are not kept: the oldest are forgotten."""

Key = tuple[str, str]
Changed = Callable[[Key, State, str], None]


class Row(NamedTuple):
    """One breaker, as it is listed. `retry_in` is in seconds, None unless it is open."""

    target: str
    capability: str
    state: State
    reason: str
    calls: int
    failed: int
    slow: int
    retry_in: float | None


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
        self._breaker.record(self._permit, verdict(error), now - self._started if self._timed else 0.0, now)


class Breakers:
    """Every breaker of this process. Callbacks hear of each change: `(target, capability), state, reason`."""

    def __init__(self, clock: Clock, source: random.Random, policy: BreakerPolicy | None = None) -> None:
        self.policy = policy or BreakerPolicy()
        self._clock = clock
        self._random = source
        self._breakers: dict[Key, Breaker] = {}
        self._callbacks: list[Changed] = []
        self.troubled: dict[Key, Breaker] = {}
        """Those that are not closed: nearly always none, and then nobody need ask one by one."""

    def on_change(self, callback: Changed) -> None:
        """Call this whenever a breaker changes its state."""
        self._callbacks.append(callback)

    def of(self, target: str, capability: str, *, timeout: float | None = None) -> Breaker:
        """The breaker of a target's capability; `timeout`, the capability's default, sets what is slow at its making."""
        key = (target, capability)
        breaker = self._breakers.get(key)
        if breaker is None:
            policy = self.policy if timeout is None else replace(self.policy, slow=SLOW_SHARE * timeout)
            breaker = self._breakers[key] = Breaker(
                policy, self._random, lambda state, reason: self._changed(key, state, reason)
            )
            self._bound()
        return breaker

    def find(self, target: str, capability: str) -> Breaker | None:
        """The breaker of a target's capability, if it was needed before."""
        return self._breakers.get((target, capability))

    def guard(self, target: str, capability: str, *, timeout: float | None = None, timed: bool = True) -> Guard:
        """A call through the breaker; `timed` false where its length says nothing of the target, as of a stream's.

        Raises (on entering):
            BreakerOpen: nothing was sent.
        """
        return Guard(self.of(target, capability, timeout=timeout), self._clock, timed=timed)

    def allows(self, target: str, capability: str) -> bool:
        """Whether a call would be let through now; reserves nothing."""
        breaker = self.troubled.get((target, capability))
        return breaker is None or breaker.would_admit(self._clock.monotonic())

    def force(self, target: str, capability: str, reason: str) -> None:
        """The kill switch of one target's capability. Again: only the reason changes."""
        self.of(target, capability).force(reason)

    def release(self, target: str, capability: str) -> None:
        """Take back `force`. Again: nothing happens."""
        self.of(target, capability).release()

    def open(self) -> tuple[str, ...]:
        """The targets held open, as `target capability`: what heartbeats tell."""
        now = self._clock.monotonic()
        return tuple(f"{target} {what}" for (target, what), each in self.troubled.items() if not each.would_admit(now))

    def rows(self) -> list[Row]:
        """Every breaker, for people."""
        now = self._clock.monotonic()
        return [
            Row(
                *key, each.state, each.reason, *each.counts(now),
                max(0.0, each.retry_at - now) if each.state == "open" else None,
            )
            for key, each in sorted(self._breakers.items())
        ]  # fmt: skip

    def _changed(self, key: Key, state: State, reason: str) -> None:
        breaker = self._breakers.get(key)
        if breaker is None or state == "closed":
            self.troubled.pop(key, None)
        else:
            self.troubled[key] = breaker
        for callback in self._callbacks:
            callback(key, state, reason)

    def _bound(self) -> None:
        if len(self._breakers) > LIMIT:
            idle = next((key for key, each in self._breakers.items() if each.state == "closed"), None)
            self._breakers.pop(idle, None) if idle else None


def verdict(error: BaseException | None) -> Verdict:
    """What an ending says of the target: only errors that are its own fault count against it."""
    if error is None:
        return "success"
    if isinstance(error, MeshError):
        return "failure" if error.blame == "target" else "ignored"
    if isinstance(error, asyncio.CancelledError):
        return "ignored"
    return "ignored" if not isinstance(error, Exception) else "failure"
