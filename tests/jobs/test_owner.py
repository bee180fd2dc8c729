"""The host of jobs: what it takes, what it leaves to others, and how it leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.journals.journals import Journals
from mesh.protocols.dead_letters import DeadLetter
from mesh.protocols.errors import Cancelled, Draining, MeshError, TimedOut
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.ports import Clock, Ids
from mesh.testing.virtual_time import until

pytestmark = pytest.mark.virtual


@workflow("slow")
async def slow(job: Job, number: int = 0) -> int:
    await job.call("slow", number)
    return number


@workflow("slow", version=2)
async def slow_two(job: Job, number: int = 0) -> int:
    await job.call("slow", number)
    return number + 1000


def world_of(clock: Clock, ids: Ids, seconds: float = 10) -> World:
    return World(clock, ids, slow=lambda _: clock.sleep(seconds))


async def test_what_one_process_drives_at_once_is_bounded_and_nothing_is_left_behind(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    owner = await world.host("a", slow, at_once=3)
    most = 0
    handles = [await world.submit_job("slow", {"number": number}) for number in range(10)]

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(owner.running))
            await clock.sleep(0.1)

    watching = asyncio.ensure_future(watch())
    assert [await each.result(1000) for each in handles] == list(range(10))
    watching.cancel()
    assert most == 3
    await world.close()


async def test_jobs_beyond_one_process_are_done_by_another(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    for name in "abc":
        await world.host(name, slow, at_once=2)
    began = clock.monotonic()
    handles = [await world.submit_job("slow", {"number": number}) for number in range(6)]
    for each in handles:
        await each.result(1000)
    assert clock.monotonic() - began < 20
    owners = [(await each.state()).head for each in handles]
    assert {each.owner for each in owners if each} == {"a", "b", "c"}
    await world.close()


async def test_the_urgent_ones_go_first(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("a", slow, at_once=1)
    await world.submit_job("slow", {"number": 0})
    await clock.sleep(1)
    for number, priority in ((1, 3), (2, 2), (3, 0)):
        await world.submit_job("slow", {"number": number}, priority=priority)
    await until(lambda: len(world.contractor.calls) == 4, timeout=1000)
    numbers = [msgspec.json.decode(each.input) for each in world.contractor.calls]
    assert numbers == [0, 3, 2, 1]
    await world.close()


async def test_a_new_job_gets_the_newest_version_and_an_old_one_stays_with_its_own(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("a", slow)
    old = await world.submit_job("slow", {"number": 1})
    await clock.sleep(2)
    await world.crash("a")
    await world.host("b", slow_two)
    new = await world.submit_job("slow", {"number": 1})
    assert await new.result(100) == 1001
    with pytest.raises(TimedOut, match="running after 60 s; it goes on"):
        await old.result(60)
    await world.host("c", slow, slow_two)
    assert await old.result(100) == 1
    await world.close()


async def test_draining_finishes_what_it_can_and_hands_back_the_rest(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids, slow=lambda number: clock.sleep(number))
    owner = await world.host("a", slow)
    short, long = [await world.submit_job("slow", {"number": seconds}) for seconds in (3, 20)]
    await clock.sleep(1)
    await world.host("b", slow)
    await owner.drain(within=5)
    assert owner.running == []
    assert (await short.state()).status == "completed"
    assert await long.result(100) == 20
    state = await long.state()
    assert [each.process for each in state.claims] == ["a", "b"]
    assert not state.void
    handle = await world.submit_job("slow", {"number": 1})
    assert await handle.result(100) == 1
    await world.close()


async def test_a_job_that_kills_whoever_takes_it_is_dead_lettered_in_the_end(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids, seconds=1e6)
    await world.host("a", slow)
    handle = await world.submit_job("slow", {"number": 1})
    for start in range(1, 20):
        await clock.sleep(10)
        if (await handle.state()).terminal:
            break
        await world.crash("a", start)
        await world.host("a", slow, start=start + 1)
    with pytest.raises(MeshError, match="10 owners were lost"):
        await handle.result(10)
    assert (await handle.state()).status == "dead_lettered"
    (stored,) = await world.client.store.read("mesh_default_DLQ", "mesh.default.dlq.default")
    letter = msgspec.json.decode(stored.data, type=DeadLetter)
    assert (letter.stage, letter.job, letter.workflow) == ("job", handle.id, "slow")
    await world.close()


async def test_an_owner_whose_lease_is_in_doubt_begins_nothing_new(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    owner = await world.host("a")
    confident = False
    object.__setattr__(owner.seat, "holds_lease", lambda: confident)
    await owner.host(slow)
    handle = await world.submit_job("slow", {"number": 1})
    await clock.sleep(20)
    assert world.contractor.calls == []
    confident = True
    assert await handle.result(60) == 1
    await world.close()


async def test_an_owner_that_was_only_thought_dead_is_fenced_and_does_no_harm(clock: Clock, ids: Ids) -> None:
    world = world_of(clock, ids)
    await world.host("a", slow)
    handle = await world.submit_job("slow", {"number": 1})
    await clock.sleep(2)
    world.server.cut("a", noticed=False)
    world.dead.add("a-1")
    await world.host("b", slow)
    assert await handle.result(100) == 1
    world.server.restore("a")
    await clock.sleep(120)
    state = await handle.state()
    assert (state.epoch, state.void) == (2, [])
    assert world.hosts["a-1"].running == []
    await world.close()


@pytest.mark.parametrize("hosts", [2, 5])
async def test_many_jobs_many_deaths_each_job_once(hosts: int, clock: Clock, ids: Ids) -> None:
    effects: list[int] = []

    def count(number: int) -> int:
        effects.append(number)
        return number

    @workflow("steps")
    async def steps(job: Job, number: int) -> list[int]:
        return [await job.step(f"s{each}", count, number * 10 + each) for each in range(5) if await pause(job, each)]

    async def pause(job: Job, each: int) -> bool:
        await job.call("slow", key=f"pause{each}")
        return True

    world = World(clock, ids, slow=lambda _: clock.sleep(1))
    names = [f"h{number}" for number in range(hosts)]
    starts = dict.fromkeys(names, 1)
    for name in names:
        await world.host(name, steps)
    handles = [await world.submit_job("steps", {"number": number}) for number in range(12)]
    for round_number in range(6):
        await clock.sleep(1.3)
        victim = names[round_number % hosts]
        await world.crash(victim, starts[victim])
        starts[victim] += 1
        await world.host(victim, steps, start=starts[victim])
    results: list[Any] = [await each.result(600) for each in handles]
    assert results == [[number * 10 + each for each in range(5)] for number in range(12)]
    for handle in handles:
        state = await handle.state()
        assert state.status in TERMINAL
        assert not state.void
        assert all(step.state == "succeeded" for step in state.steps.values())
    assert set(effects) == {number * 10 + each for number in range(12) for each in range(5)}
    await world.close()


async def test_a_look_that_failed_for_long_does_not_put_off_the_next_one(
    clock: Clock, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks that take long are made less often; one that met a store that was away says nothing of how long they take."""
    real, away = Journals.changed, True

    async def changed(journals: Journals, shard: str, **terms: Any) -> Any:
        if away:
            await clock.sleep(5)
            raise TimedOut("no answer")
        return await real(journals, shard, **terms)

    monkeypatch.setattr(Journals, "changed", changed)
    world = world_of(clock, ids, seconds=1)
    await world.host("a", slow)
    await clock.sleep(60)
    away = False
    await world.submit(workflow="slow", value={"number": 7})
    began = clock.monotonic()
    while (await world.reader.state("default", "j1")).status != "completed":
        await clock.sleep(0.5)
    assert clock.monotonic() - began < 20
    await world.close()


@pytest.mark.parametrize("others", ["", "b"])
async def test_what_is_said_to_a_job_is_heard_while_its_owner_leaves(clock: Clock, ids: Ids, others: str) -> None:
    world = world_of(clock, ids, seconds=25)
    leaving = await world.host("a", slow)
    handle = await world.submit_job("slow", {"number": 1})
    await clock.sleep(1)
    assert leaving.running == [handle.id]
    for name in others:
        await world.host(name, slow)
    draining = asyncio.ensure_future(leaving.drain(within=30))
    await clock.sleep(1)
    began = clock.monotonic()
    await handle.cancel(reason="enough")
    with pytest.raises(Cancelled):
        await handle.result(100)
    assert clock.monotonic() - began < 5
    await draining
    await world.close()


@pytest.mark.parametrize("leave", ["stop", "drain"])
@pytest.mark.parametrize("hops", range(0, 60, 4))
async def test_who_leaves_while_it_still_takes_a_workflow_up_takes_nothing_in_any_more(
    leave: str, hops: int, clock: Clock, ids: Ids
) -> None:
    world = world_of(clock, ids)
    owner = await world.host("p")
    hosting = asyncio.ensure_future(owner.host(slow))
    await clock.sleep(hops * 0.0005)
    await getattr(owner, leave)()
    (error,) = await asyncio.gather(hosting, return_exceptions=True)
    assert error is None or isinstance(error, Draining)
    ours = ("jobs ", "ingress ", "overtaking ", "inbox of jobs", "timers of jobs")
    assert not [each for each in asyncio.all_tasks() if each.get_name().startswith(ours)]
    with pytest.raises(Draining):
        await owner.host(slow_two)
    await world.close()
