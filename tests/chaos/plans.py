"""`Act`, and the workflows that carry out any list of acts: each is an effect at a target that counts.

What a job is to do stands in its input, so that one worker serves every scenario. The result of an act is its key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import msgspec

from mesh import Job, workflow
from mesh.jobs.authoring.workflow import Workflow
from mesh.protocols.constraints import Effect
from mesh.testing.virtual_time import until
from tests.chaos.doom import Doom
from tests.effect_target import EffectTarget


class Act(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One step. `how`: here in the owner, or by an agent. `ms` is how long it takes, `hold` a file that it waits for;
    whoever does a `fatal` one dies of it, before the effect."""

    key: str
    how: Literal["here", "call"] = "here"
    effect: Effect = "idempotent"
    ms: int = 0
    hold: str = ""
    fatal: bool = False


class Asked(msgspec.Struct, frozen=True):
    """What an agent is asked: the act, of which job."""

    job: str
    act: Act


def acts(count: int, **terms: object) -> list[Act]:
    """So many acts, `step-0` and so on, on these terms."""
    return [Act(key=f"step-{number}", **terms) for number in range(count)]  # type: ignore[arg-type]


class Hands:
    """Carries out acts in one process: the effect is asked for at the target, under the job's id and the act's key.

    A slow disk makes whoever asks wait, and nobody else in the process: those who stand still for long lose their leases. Not so
    with `alone`, for a process that cannot start a thread at its limits.
    """

    def __init__(self, folder: Path, process: str, *, alone: bool = False) -> None:
        self._folder = folder
        self._process = process
        self._alone = alone
        self._doom = Doom(folder)
        self._ledger = EffectTarget(folder / LEDGER)
        self._blind = EffectTarget(folder / BLIND, honours_keys=False)

    async def carry_out(self, asked: Asked) -> str:
        """Die where it is written; else do it, and say which."""
        act = asked.act
        self._doom.at("before effect", self._process)
        if act.fatal:
            self._doom.die(self._process, "fatal")
        target = self._blind if act.effect == "at_most_once" else self._ledger
        await self._ask(target, f"{asked.job}/{act.key}")
        self._doom.at("after effect", self._process)
        if act.ms:
            await asyncio.sleep(act.ms / 1000)
        if act.hold:
            await until((self._folder / f"let-{act.hold}").exists, timeout=600)
        return act.key

    async def undo(self, done: str) -> None:
        """Take back what `<job>/<key>` names."""
        self._doom.at("before undo", self._process)
        await self._ask(self._ledger, f"{done}{UNDO}")
        self._doom.at("after undo", self._process)

    async def _ask(self, target: EffectTarget, key: str) -> None:
        if self._alone:
            target.ask(key)
        else:
            await asyncio.to_thread(target.ask, key)


UNDO = "~undo"
"""Ends the key under which an effect is taken back."""
LEDGER = "ledger"
"""The target that honours keys."""
BLIND = "blind"
"""The target that does every effect it is asked for: at-most-once steps go there."""


def workflows(carry_out: Callable[[Asked], Awaitable[str]]) -> list[Workflow[list[str]]]:
    """`chain` does its acts one after the other, `fan` all at once; `gate` asks a person between every two."""

    async def do(asked: Asked) -> str:
        return await carry_out(asked)

    def begin(job: Job, act: Act) -> Awaitable[str]:
        asked = Asked(job.id, act)
        if act.how == "call":
            command = "chaos.once" if act.effect == "at_most_once" else "chaos.act"
            return job.call(command, asked, returns=str, key=act.key, effect=act.effect, timeout=60)
        return job.step(act.key, do, asked, effect=act.effect)

    @workflow("chain")
    async def chain(job: Job, acts: list[Act]) -> list[str]:
        return [await begin(job, act) for act in acts]

    @workflow("fan")
    async def fan(job: Job, acts: list[Act]) -> list[str]:
        return await job.gather(*(begin(job, act) for act in acts), on_missing="raise")  # type: ignore[arg-type]

    @workflow("gate")
    async def gate(job: Job, acts: list[Act]) -> list[str]:
        done = [await begin(job, acts[0])]
        for act in acts[1:]:
            await job.approval(f"go.{act.key}", {"job": job.id, "act": act.key})
            await job.sleep(act.ms / 1000)
            done.append(await begin(job, act))
        return done

    return [chain, fan, gate]
