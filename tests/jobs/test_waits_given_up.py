"""A line of a workflow that is stopped waits no more: an answer that comes later holds nobody up; and the time of a branch is up
also where nobody holds the job meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.replay.replaying import replay
from mesh.protocols.errors import HandlerFailed
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


async def fails() -> None:
    raise ValueError("no")


@workflow("goes-on")
async def goes_on(job: Job) -> str:
    with pytest.raises(HandlerFailed):
        await job.gather(job.wait("early", key="early"), job.step("fails", fails), on_missing="raise")
    return str(await job.wait("late", returns=str))


async def test_an_answer_to_what_nobody_waits_for_any_more_does_not_keep_the_job_in_hand(
    clock: Clock, ids: Ids
) -> None:
    world = World(clock, ids)
    host = await world.host("p", goes_on)
    handle = await world.submit_job("goes-on")
    await clock.sleep(0.02)
    await handle.signal("early", timeout=10)
    await clock.sleep(10)
    assert ((await handle.state()).status, host.running) == ("waiting", [])
    await handle.signal("late", "done", timeout=10)
    assert await handle.result(10) == "done"
    await world.close()


async def asks(job: Job) -> Any:
    first = await job.wait("go", key="go")
    return [first, await job.wait("go", key="again")]


@workflow("in-time")
async def in_time(job: Job) -> Any:
    (found,) = await job.gather(job.branch("part", asks(job), timeout=60))
    await job.sleep(100)
    return found


@pytest.mark.parametrize("said", [0, 1])
@pytest.mark.parametrize("crash", [False, True])
async def test_the_time_of_a_branch_is_up_while_nobody_holds_the_job(
    said: int, crash: bool, clock: Clock, ids: Ids
) -> None:
    world = World(clock, ids)
    host = await world.host("p", in_time)
    handle, began = await world.submit_job("in-time"), clock.monotonic()
    await clock.sleep(20)
    assert not host.running
    for _ in range(said):
        await handle.signal("go", timeout=10)
        await clock.sleep(10)
    if crash:
        await world.crash("p")
        await world.host("p", in_time, start=2)
    found = await handle.result(600)
    assert (found["missing"], found["error"]["code"]) == ("part", "deadline-exceeded")
    assert 160 <= clock.monotonic() - began < 170
    report = await replay(await world.reader.read("default", handle.id), in_time)
    await world.close()
    assert report.ok, report


@pytest.mark.parametrize("crash", [False, True])
async def test_a_branch_that_is_done_in_time_has_none_any_more(crash: bool, clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("p", in_time)
    handle = await world.submit_job("in-time")
    for _ in range(2):
        await clock.sleep(20)
        await handle.signal("go", timeout=10)
    await clock.sleep(5)
    (left,) = (await handle.state()).open_waits
    assert left.opened.key == "sleep"
    if crash:
        await world.crash("p")
        await world.host("p", in_time, start=2)
    assert await handle.result(600) == [None, None]
    report = await replay(await world.reader.read("default", handle.id), in_time)
    await world.close()
    assert report.ok, report


MOMENTS = [step * 0.0005 for step in range(-10, 12)]


async def test_whichever_comes_first_a_replay_says_the_same(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("p", in_time)
    ends = set()
    for moment in MOMENTS:
        handle = await world.submit_job("in-time")
        await clock.sleep(10)
        await handle.signal("go", timeout=10)
        state = await handle.state()
        wait = next(each.opened for each in state.open_waits if each.opened.key == "part/~time")
        assert wait.until is not None
        await clock.sleep(wait.until - clock.now() + moment)
        await handle.signal("go", timeout=10)
        found = await handle.result(600)
        ends.add(isinstance(found, list))
        report = await replay(await world.reader.read("default", handle.id), in_time)
        assert report.ok, (moment, report)
        assert not (await handle.state()).void
    await world.close()
    assert ends == {True, False}
