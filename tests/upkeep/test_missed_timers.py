"""A timer that fell between two copies of a backup: its job is woken, sets it anew, and ends in its time."""

from __future__ import annotations

import pytest

from mesh import Job, workflow
from mesh.jobs.outside.handle import JobHandle
from mesh.jobs.waiting.timers import DEADLINE, token_of
from mesh.protocols.naming.jobs import shard_of
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


async def waiting(world: World, name: str, value: object, **terms: float) -> JobHandle:
    """A job that waits, and nobody holds it."""
    handle = await world.submit_job(name, value, **terms)
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


@pytest.mark.parametrize("lacking", ["the sleep", "the deadline"])
async def test_a_job_that_lacks_one_of_its_timers_is_woken_whatever_others_it_has(
    clock: Clock, ids: Ids, lacking: str
) -> None:
    world = World(clock, ids)
    await world.host("host", nap)
    store, subjects = world.client.store, world.client.subjects
    began = clock.now()
    napping, timed = await waiting(world, "nap", 60, deadline=3600), await waiting(world, "nap", 60, deadline=3600)
    await world.crash("host")
    (wait,) = (await napping.state()).open_waits
    token = token_of(wait.opened.key) if lacking == "the sleep" else DEADLINE
    assert await store.purge(subjects.stream("TIM"), subjects.timer_set("default", napping.id, token)) == 1
    assert await wake_the_late(store, subjects, ids) == [napping.id]
    await world.host("host", nap, start=2)
    assert await napping.result(3600) == await timed.result(3600) == "rested"
    assert 60 <= clock.now() - began < 90
    await world.close()


async def test_a_job_that_cannot_be_read_does_not_keep_the_others_from_being_woken(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("host", nap)
    store, subjects = world.client.store, world.client.subjects
    napping, broken = await waiting(world, "nap", 60), await waiting(world, "nap", 60)
    await world.crash("host")
    subject = subjects.job("default", broken.id)
    last = await store.last(subjects.job_stream(shard_of(broken.id)), subject)
    assert last is not None
    for data in (b"?", last.data):
        await store.append(subject, data)
    await store.purge(subjects.stream("TIM"), subjects.timer_all())
    assert await wake_the_late(store, subjects, ids) == [napping.id]
    await world.close()
