"""A job that its taker has room for is its taker's from its first entry on."""

from __future__ import annotations

import asyncio

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.protocols.errors import DeadlineExceeded
from mesh.protocols.job_events import tag_of
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual

JOBS = "mesh.default.job.>"


@workflow("slow")
async def slow(job: Job, number: int = 0) -> int:
    await job.call("slow", number)
    return number


@workflow("when")
async def when(job: Job) -> float:
    return job.now()


def world_of(clock: Clock, ids: Ids, seconds: float = 10, latency: float = 0.001) -> World:
    world = World(clock, ids, slow=lambda _: clock.sleep(seconds))
    world.server.latency = latency
    return world


async def entries(world: World, job: str) -> list[list[str]]:
    """The types of the events of each entry."""
    return [[tag_of(event) for event in each.entry.events] for each in await world.reader.read("default", job)]


async def test_where_there_is_room_the_first_entry_claims_the_job_and_else_it_only_submits_it(
    clock: Clock, ids: Ids
) -> None:
    world = world_of(clock, ids)
    await world.host("a", slow, at_once=1)
    first, second = await world.submit_job("slow", 0), await world.submit_job("slow", 0)
    assert [await each.result(100) for each in (first, second)] == [0, 0]
    assert (await entries(world, first.id))[0] == ["submitted", "owner.claimed"]
    assert (await entries(world, second.id))[:2] == [["submitted"], ["owner.claimed"]]
    for each in (first, second):
        state = await each.state()
        assert ([claim.process for claim in state.claims], state.void) == (["a"], [])
    await world.close()


async def test_its_time_begins_with_the_servers_timestamp_of_that_entry(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("a", slow, when)
    clock.shift(-600)  # type: ignore[attr-defined]
    handle = await world.submit_job("when")
    began = await handle.result(100)
    (first, *_, last) = await world.reader.read("default", handle.id)
    assert began == first.time == last.entry.head.submitted_at
    late = await world.submit_job("slow", 0, deadline=5.0)
    with pytest.raises(DeadlineExceeded):
        await late.result(100)
    await world.close()


@pytest.mark.parametrize("lost", [1, 3])
async def test_an_entry_whose_ack_was_lost_claims_once(clock: Clock, ids: Ids, lost: int) -> None:
    world = world_of(clock, ids)
    await world.host("a", slow)
    world.server.faults.lose_acks(JOBS, lost)
    handle = await world.submit_job("slow", 0, timeout=60)
    assert await handle.result(100) == 0
    assert len(world.contractor.calls) == 1
    assert [each.epoch for each in (await handle.state()).claims] == [1]
    await world.close()


async def test_an_entry_that_never_arrives_gives_its_room_back(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("a", slow, at_once=1)
    world.server.faults.lose_appends(JOBS, 7)
    handle = await world.submit_job("slow", 0, timeout=60)
    assert await handle.result(100) == 0
    assert await (await world.submit_job("slow", 0)).result(100) == 0
    await world.close()


@pytest.mark.parametrize("milliseconds", range(60, 260, 20))
async def test_a_host_that_is_cut_off_while_it_takes_a_job_in_goes_on_with_it(
    clock: Clock, ids: Ids, milliseconds: int
) -> None:
    world = world_of(clock, ids, seconds=0.1, latency=0.05)
    await world.host("a", slow, look_every=1e6)
    submitting = asyncio.ensure_future(world.submit_job("slow", 0, key="k", timeout=60))
    await clock.sleep(milliseconds / 1000)
    world.server.cut("a")
    await clock.sleep(1)
    world.server.restore("a")
    handle = await submitting
    assert await handle.result(60) == 0
    assert (await handle.state()).void == []
    await world.close()


@pytest.mark.parametrize("key", range(6))
async def test_of_two_hosts_that_are_given_the_same_key_one_has_the_job(clock: Clock, ids: Ids, key: int) -> None:
    world = world_of(clock, ids)
    for name in "ab":
        await world.host(name, slow)
    handles = await asyncio.gather(*(world.submit_job("slow", 0, key=str(key)) for _ in range(8)))
    assert [await each.result(100) for each in handles] == [0] * 8
    assert len(world.contractor.calls) == 1
    assert len((await handles[0].state()).claims) == 1
    assert sum(not each.duplicate for each in handles) == 1
    await world.close()


@pytest.mark.parametrize("milliseconds", [0, 15, 25, 35, 45, 55, 75])
async def test_a_host_that_leaves_while_it_takes_a_job_in_hands_it_on(
    clock: Clock, ids: Ids, milliseconds: int
) -> None:
    world = world_of(clock, ids, latency=0.01)
    leaving = await world.host("a", slow)
    submitting = asyncio.ensure_future(world.submit_job("slow", 0, timeout=60))
    await clock.sleep(milliseconds / 1000)
    await leaving.drain(within=0)
    assert leaving.running == []
    await world.host("b", slow, look_every=1e6)
    handle = await submitting
    assert await handle.result(100) == 0
    assert (await handle.state()).void == []
    await world.close()


async def test_a_host_that_dies_right_after_loses_nothing(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("a", slow)
    handle = await world.submit_job("slow", 0)
    await world.crash("a")
    await world.host("b", slow)
    assert await handle.result(100) == 0
    assert [each.process for each in (await handle.state()).claims] == ["a", "b"]
    await world.close()
