"""`Outside`: the world that effects happen in. It is not part of the mesh, it never crashes, and it forgets nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from tests.simulation.handling import Handlings
from tests.simulation.place import HERE


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
        self.on_effect: list[Callable[[Effect, str], None]] = []
        """Told of each effect, `before` and `after` it happens."""

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
