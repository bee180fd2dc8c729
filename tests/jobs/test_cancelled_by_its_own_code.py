"""Code that is cancelled by itself, and not because its job ends or moves, has failed: nothing else would end the job."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.protocols.errors import HandlerFailed
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


async def ends_itself() -> None:
    await asyncio.sleep(1)
    raise asyncio.CancelledError


async def alone(job: Job) -> Any:
    return await job.step("s", ends_itself)


async def bare(job: Job) -> Any:
    await job.step("before", asyncio.sleep, 1)
    return await ends_itself()


async def in_a_branch(job: Job) -> Any:
    return await job.gather(job.branch("b", ends_itself()), job.step("t", asyncio.sleep, 2), need=2)


async def within_a_time(job: Job) -> Any:
    return await job.gather(job.branch("b", alone(job), timeout=10), need=1, on_missing="raise")


@pytest.mark.parametrize("body", [alone, bare, in_a_branch, within_a_time])
async def test_a_step_or_workflow_that_cancels_itself_has_failed(body: Any, clock: Clock, ids: Ids) -> None:
    @workflow("flow")
    async def flow(job: Job) -> Any:
        return await body(job)

    world = World(clock, ids)
    await world.host("p", flow)
    handle = await world.submit_job("flow")
    with pytest.raises(HandlerFailed, match="raised CancelledError"):
        await handle.result(60)
    assert (await handle.state()).epoch == 1
    await world.close()
