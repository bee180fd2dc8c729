"""Processes that use a rate limit together, and a book of every use."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mesh.policy.limiter import Limiter
from mesh.policy.policy import Policy
from mesh.protocols.policies import RateLimit
from mesh.protocols.ports import Clock
from mesh.protocols.subjects import Subjects
from mesh.transport.memory.server import MemoryServer


class Users:
    """`await users.process(name)` gives a limiter that knows the limit; each use is noted with `used`."""

    def __init__(self, server: MemoryServer, clock: Clock, seed: int = 1) -> None:
        self.server, self.clock, self.random = server, clock, random.Random(seed)
        self.uses: list[tuple[float, float]] = []
        self._all: list[tuple[Policy, Limiter]] = []

    async def process(self, name: str) -> Limiter:
        store = self.server.connect(name).store
        policy = Policy(store, Subjects("default"), self.clock)
        await policy.start()
        limiter = Limiter(policy, store, Subjects("default"), self.clock, self.random)
        self._all.append((policy, limiter))
        return limiter

    def used(self, amount: float = 1.0) -> None:
        self.uses.append((self.clock.monotonic(), amount))

    async def leave(self) -> None:
        for policy, limiter in self._all:
            await limiter.stop()
            await policy.stop()


def worst(uses: Sequence[tuple[float, float]], rate: float) -> float:
    """The most that any window has beyond what flows in during it: it must never be more than the burst."""
    most, before = 0.0, 0.0
    least = float("inf")
    for at, amount in sorted(uses):
        least = min(least, before - rate * at)
        before += amount
        most = max(most, before - rate * at - least)
    return most


def limit(calls: float | None = None, **fields: float | None) -> RateLimit:
    return RateLimit(agent="writer", calls=calls, **fields)  # type: ignore[arg-type]
