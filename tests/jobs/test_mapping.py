"""`job.map`, and agents that ask for time."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, Missing, workflow
from mesh.protocols.errors import BranchesMissing, Overloaded, Refused, StepMisused
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


async def result_of(world: World, flow: Any, value: Any = None, **terms: Any) -> Any:
    await world.host("p", flow)
    try:
        return await (await world.submit_job(flow.name, value, **terms)).result(36000)
    finally:
        await world.close()


async def test_a_step_for_each_item_a_few_at_once(clock: Clock, ids: Ids) -> None:
    under_way: list[int] = []
    most: list[int] = []

    async def double(number: int) -> int:
        under_way.append(number)
        most.append(len(under_way))
        await clock.sleep(1)
        under_way.remove(number)
        return number * 2

    @workflow("doubles")
    async def doubles(job: Job) -> list[int]:
        return await job.map("double", range(10), at_once=3, returns=int)

    world = World(clock, ids, double=double)
    assert await result_of(world, doubles) == [number * 2 for number in range(10)]
    assert max(most) == 3
    assert [each.step for each in world.contractor.calls][:2] == ["double/0", "double/1"]


async def test_items_may_have_keys_and_functions_do_too(clock: Clock, ids: Ids) -> None:
    def shout(word: str) -> str:
        return word.upper()

    @workflow("words")
    async def words(job: Job) -> list[Any]:
        first = await job.map(shout, ["a", "b"], key=lambda word: f"word {word}")
        return [*first, *await job.map(shout, ["c"])]

    world = World(clock, ids)
    await world.host("p", words)
    handle = await world.submit_job("words")
    assert await handle.result(60) == ["A", "B", "C"]
    assert list((await handle.state()).steps) == ["shout/word a", "shout/word b", "shout#2/0"]
    await world.close()


async def test_what_ended_before_a_crash_is_not_done_again(clock: Clock, ids: Ids) -> None:
    done: list[int] = []

    async def work(number: int) -> int:
        await clock.sleep(number)
        done.append(number)
        return number

    @workflow("many")
    async def many(job: Job) -> list[int]:
        return await job.map(work, [1, 2, 8], key=str)

    world = World(clock, ids)
    await world.host("a", many)
    handle = await world.submit_job("many")
    await clock.sleep(5)
    await world.crash("a")
    await world.host("b", many)
    assert await handle.result(3600) == [1, 2, 8]
    assert done == [1, 2, 8]
    await world.close()


async def test_items_that_fail_are_marked_dropped_or_too_many(clock: Clock, ids: Ids) -> None:
    def even(number: int) -> int:
        if number % 2:
            raise Refused("odd")
        return number

    @workflow("evens")
    async def evens(job: Job, how: str) -> list[Any]:
        if how == "mark":
            found = await job.map("even", [0, 1])
            assert isinstance(found[1], Missing)
            return [each.key if isinstance(each, Missing) else each for each in found]
        return await job.map("even", [0, 1], on_missing="drop", need=2 if how == "need" else None)

    assert await result_of(World(clock, ids, even=even), evens, {"how": "mark"}) == [0, "1"]
    assert await result_of(World(clock, ids, even=even), evens, {"how": "drop"}) == [0]
    with pytest.raises(BranchesMissing):
        await result_of(World(clock, ids, even=even), evens, {"how": "need"})


async def test_two_items_of_one_key_and_no_room_at_all_are_refused(clock: Clock, ids: Ids) -> None:
    @workflow("misused")
    async def misused(job: Job, how: str) -> list[Any]:
        return await job.map(str, [1, 1], key=str) if how == "twice" else await job.map(str, [1], at_once=0)

    with pytest.raises(StepMisused, match="two branches have the key '1'"):
        await result_of(World(clock, ids), misused, {"how": "twice"})
    with pytest.raises(StepMisused, match="at least one"):
        await result_of(World(clock, ids), misused, {"how": "room"})


class Busy:
    """An agent that asks for time, so many times."""

    def __init__(self, clock: Clock, times: int, seconds: float) -> None:
        self.clock = clock
        self.times = times
        self.seconds = seconds
        self.asked: list[float] = []

    def work(self, _: Any) -> str:
        self.asked.append(self.clock.monotonic())
        if len(self.asked) <= self.times:
            raise Overloaded("the model is busy", retry_after=self.seconds)
        return "done"


@workflow("calling")
async def calling(job: Job) -> str:
    return await job.call("work", key="w", timeout=20, returns=str)


async def test_a_few_seconds_that_an_agent_asks_for_are_waited_in_place(clock: Clock, ids: Ids) -> None:
    busy = Busy(clock, 2, 3.0)
    world = World(clock, ids, work=busy.work)
    await world.host("p", calling)
    handle = await world.submit_job("calling")
    assert await handle.result(3600) == "done"
    state = await handle.state()
    assert state.waits == {}
    assert all(3.0 <= later - sooner < 3.5 for sooner, later in zip(busy.asked, busy.asked[1:], strict=False))
    await world.close()


async def test_for_more_the_worker_is_freed_and_a_timer_brings_the_job_back(clock: Clock, ids: Ids) -> None:
    busy = Busy(clock, 2, 600.0)
    world = World(clock, ids, work=busy.work)
    await world.host("a", calling)
    handle = await world.submit_job("calling")
    await clock.sleep(60)
    state = await handle.state()
    assert (state.status, [each.opened.key for each in state.open_waits]) == ("waiting", ["w/~retry#1"])
    assert world.hosts["a-1"].running == []
    await world.crash("a")
    await world.host("b", calling)
    assert await handle.result(36000) == "done"
    state = await handle.state()
    assert set(state.waits) == {"w/~retry#1", "w/~retry#2"}
    assert all(later - sooner >= 600 for sooner, later in zip(busy.asked, busy.asked[1:], strict=False))
    assert len(busy.asked) == 3
    await world.close()


async def test_time_that_the_job_does_not_have_is_not_waited_for(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids, work=Busy(clock, 1, 600.0).work)
    with pytest.raises(Overloaded):
        await result_of(world, calling, deadline=300)


async def test_what_may_be_done_at_most_once_is_not_asked_for_twice(clock: Clock, ids: Ids) -> None:
    @workflow("once")
    async def once(job: Job) -> str:
        return await job.call("work", key="w", effect="at_most_once")

    busy = Busy(clock, 1, 1.0)
    with pytest.raises(Overloaded):
        await result_of(World(clock, ids, work=busy.work), once)
    assert len(busy.asked) == 1
