"""The workflow of the saga scenario: each act can be taken back, and after the last one the job fails."""

from __future__ import annotations

from typing import Any

from mesh import Job, workflow
from mesh.jobs.authoring.workflow import Workflow
from tests.chaos.plans import Act, Asked, Hands


def sagas(hands: Hands) -> list[Workflow[Any]]:
    """`saga`: acts done here are taken back here, those of agents by an agent."""

    async def do(asked: Asked) -> str:
        return f"{asked.job}/{await hands.carry_out(asked)}"

    async def undo(done: str) -> None:
        await hands.undo(done)

    @workflow("saga")
    async def saga(job: Job, acts: list[Act]) -> None:
        for act in acts:
            compensate = "chaos.undo" if act.how == "call" else undo
            await job.step(act.key, do, Asked(job.id, act), effect="idempotent", compensate=compensate)
        raise LookupError("nothing comes of it")

    return [saga]
