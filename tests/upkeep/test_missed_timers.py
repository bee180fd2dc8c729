"""A timer that fell between two copies of a backup: its job is woken, sets it anew, and ends in its time."""

from __future__ import annotations

import pytest

from mesh import Job, workflow
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.ports import Clock, Ids
from mesh.upkeep.missed_timers import wake_the_late
from tests.jobs.job_stage import World

pytestmark = pytest.mark.virtual


@workflow("nap")
async def nap(job: Job, seconds: float) -> str:
    await job.sleep(seconds)
    return "rested"


@workflow("ask")
async def ask(job: Job, text: str) -> str:
    return (await job.approval("publish", text)).by


async def waiting(world: World, name: str, value: object) -> JobHandle:
    """A job that waits, and nobody holds it."""
    handle = await world.submit_job(name, value)
    await handle.watch(until=lambda state: state.status == "waiting", timeout=60)
    return handle


async def test_a_job_whose_timer_is_gone_is_woken_and_ends_in_its_time(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("host", nap, ask)
    store, subjects = world.client.store, world.client.subjects
    began = clock.now()
    napping, timed, asking = (
        await waiting(world, "nap", 60),
        await waiting(world, "nap", 90),
        await waiting(world, "ask", "?"),
    )
    await world.crash("host")
    await store.purge(subjects.stream("TIM"), subjects.timers_of("default", napping.id))
    assert await wake_the_late(store, subjects, ids) == [napping.id]
    assert await wake_the_late(store, subjects, ids) == []
    assert (await asking.state()).status == (await timed.state()).status == "waiting"
    await world.host("host", nap, ask, start=2)
    assert await napping.result(120) == "rested"
    assert 60 <= clock.now() - began < 90
    assert await timed.result(120) == "rested"
    await world.close()
