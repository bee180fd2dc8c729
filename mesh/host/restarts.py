"""`Restarts`: whether a process that ended is started again, and when. Decides purely: it is told the time and the chance.

Delays double from `base` to `cap`, each spread over its upper half, so that processes which fell together do not come back
together. A process that ran `stable_after` seconds starts afresh. More than `crashes` in `window` seconds: it is given up.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random

import msgspec


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The numbers; times in seconds."""

    base: float = 0.1
    cap: float = 10.0
    crashes: int = 5
    window: float = 60.0
    stable_after: float = 30.0


@dataclass(frozen=True)
class Again:
    """Start it again after `delay` seconds."""

    delay: float


@dataclass(frozen=True)
class GiveUp:
    """Leave it down; `reason` is for people."""

    reason: str


Decision = Again | GiveUp


class Restarts:
    """The history of one process."""

    def __init__(self, policy: RestartPolicy, random: Random) -> None:
        self._policy = policy
        self._random = random
        self._crashes: deque[float] = deque()
        self._started = 0.0
        self._streak = 0
        self.count = 0

    def started(self, now: float) -> None:
        """It was started."""
        self._started = now

    def crashed(self, now: float, why: str, *, hopeless: bool = False) -> Decision:
        """It ended without being told to. `hopeless`: it said itself that another try is no use (its code cannot be loaded)."""
        if hopeless:
            return GiveUp(why)
        if now - self._started >= self._policy.stable_after:
            self._streak = 0
        self._streak += 1
        self._remember(now)
        if len(self._crashes) > self._policy.crashes:
            return GiveUp(f"ended {len(self._crashes)} times within {self._policy.window:g} s, the last time: {why}")
        self.count += 1
        return Again(self._delay())

    def forgive(self) -> None:
        """Forget everything: somebody changed the code, or asked for it."""
        self._crashes.clear()
        self._streak = 0

    def _remember(self, now: float) -> None:
        self._crashes.append(now)
        while self._crashes[0] <= now - self._policy.window:
            self._crashes.popleft()

    def _delay(self) -> float:
        whole = min(self._policy.cap, self._policy.base * 2.0 ** min(self._streak - 1, 60))
        return whole * self._random.uniform(0.5, 1.0)
