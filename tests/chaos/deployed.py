"""Two releases of the same workflows, under the same name and version: the new one renames and reorders their steps.

`careful` guards the change with `job.patched`, `careless` does not.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from mesh import Job, workflow
from mesh.jobs.authoring.workflow import Workflow
from tests.chaos.plans import Act, Asked, Hands

OLD = ("charge", "ship")
NEW = ("pack", "bill")


def deployed(hands: Hands, release: str) -> list[Workflow[Any]]:
    """The workflows of a release, `old` or `new`. Between their two steps jobs wait for the signal `go`."""

    async def do(asked: Asked) -> str:
        return await hands.carry_out(asked)

    def step(job: Job, key: str) -> Awaitable[str]:
        return job.step(key, do, Asked(job.id, Act(key=key)), effect="idempotent")

    async def path(job: Job, keys: tuple[str, str]) -> list[str]:
        first = await step(job, keys[0])
        await job.wait("go")
        return [first, await step(job, keys[1])]

    @workflow("careful")
    async def careful(job: Job, acts: list[Act]) -> list[str]:
        return await path(job, NEW if release == "new" and job.patched("pack-first") else OLD)

    @workflow("careless")
    async def careless(job: Job, acts: list[Act]) -> list[str]:
        return await path(job, NEW if release == "new" else OLD)

    return [careful, careless]
