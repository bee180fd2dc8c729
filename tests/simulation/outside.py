"""`Outside`: the world that effects happen in. It is not part of the mesh, it never crashes, and it forgets nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.simulation.handling import Handlings
from tests.simulation.place import HERE, Place


class Effect(NamedTuple):
    """Something was done outside, for this step of this job, under this key."""

    kind: str
    job: str
    step: str
    key: str
    place: str


class Outside:
    """What was done, in order, and what is being done. `accounts` honours keys, as a payment provider does."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.accounts: dict[str, str] = {}
        self.handlings = Handlings()
        self.sick: dict[str, str] = {}
        """By process: what happens to who computes there, `fails` or `hangs`."""
        self.ailing: dict[tuple[str, str], str] = {}
        """By process and what ails there: how."""
        self.tools: Counter[tuple[Place, str]] = Counter()
        self.on_tool: list[Callable[[str, int], None]] = []
        """Told of each call of a tool when it begins, and of how many are under way where it does."""
        self.on_told: list[Callable[[str, dict[str, str], dict[str, str]], None]] = []
        """Told, by a job: what its steps came to, and which it is told are degraded."""
        self.on_effect: list[Callable[[Effect, str], None]] = []
        """Told of each effect, `before` and `after` it happens."""

    def ails(self, what: str) -> str:
        """What ails this, where this runs; empty: nothing."""
        return self.ailing.get((HERE.get().name, what), "") if self.ailing else ""

    @asynccontextmanager
    async def using(self, tool: str) -> AsyncIterator[None]:
        """Inside, a tool is really being called."""
        key = HERE.get(), tool
        for tell in self.on_tool:
            tell(tool, self.tools[key])
        self.tools[key] += 1
        try:
            yield
        finally:
            self.tools[key] -= 1

    def told(self, job: str, results: dict[str, str], degraded: dict[str, str]) -> None:
        """What a workflow has been told in its end."""
        for tell in self.on_told:
            tell(job, results, degraded)

    async def approach(self, kind: str, job: str, step: str, key: str) -> None:
        """It is about to be done."""
        effect = Effect(kind, job, step, key, str(HERE.get()))
        for tell in self.on_effect:
            tell(effect, "before")
        await asyncio.sleep(0)

    def do(self, kind: str, job: str, step: str, key: str) -> str:
        """It is done; what it gave."""
        effect = Effect(kind, job, step, key, str(HERE.get()))
        self.effects.append(effect)
        receipt = f"receipt-{len(self.effects)}"
        if kind == "charge":
            receipt = self.accounts.setdefault(key, receipt)
        for tell in self.on_effect:
            tell(effect, "after")
        return receipt

    def did(self, kind: str, job: str, step: str) -> bool:
        """Whether it was ever done: what a reconcile function asks."""
        return any(each.kind == kind and each.job == job and each.step == step for each in self.effects)
