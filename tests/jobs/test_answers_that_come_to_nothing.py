"""A wait that ends in the very moment in which its job does: the owner stays the owner, and the job ends."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.protocols.job_inbox import SendSignal
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual

MOMENTS = [step * 0.0005 for step in range(-16, 17)]


@workflow("ends")
async def ends(job: Job, moment: float) -> Any:
    clock = CLOCKS[0]

    async def fails() -> None:
        await clock.sleep(2 + moment)
        raise ValueError("no")

    await job.step("booked", booked, effect="idempotent", compensate=undone)
    return await job.gather(job.wait("go", key="go", timeout=2), job.step("fails", fails), on_missing="raise")


CLOCKS: list[Clock] = []


async def booked() -> str:
    return "booked"


async def undone(_: str) -> None:
    return None


@pytest.mark.parametrize("said", [False, True])
async def test_around_the_moment_at_which_its_job_fails(said: bool, clock: Clock, ids: Ids) -> None:
    CLOCKS[:] = [clock]
    world = World(clock, ids)
    await world.host("p", ends)
    for moment in MOMENTS:
        handle = await world.submit_job("ends", {"moment": moment if not said else -1.0})
        if said:
            await clock.sleep(1 + moment)
            word = msgspec.json.encode(SendSignal(name="go"))
            await world.client.store.append(world.subjects.inbox("default", handle.id), word)
        state = await handle.watch(timeout=60)
        assert (state.status, state.epoch) in (("compensated", 1), ("completed", 1)), moment
        assert not state.void
    await world.close()
