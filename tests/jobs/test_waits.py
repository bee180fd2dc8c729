"""Waiting: no process holds the job meanwhile, and nothing that is said to it is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.protocols.errors import Cancelled, Denied, WaitExpired
from mesh.protocols.job_events import InboxPassed, Suspended
from mesh.protocols.job_inbox import Approve, Cancel, Deny, InboxMessage, Pause, Resume, SendSignal
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Clock, Ids
from mesh.testing.virtual_time import until

pytestmark = pytest.mark.virtual


@workflow("nap")
async def nap(job: Job, seconds: float) -> list[float]:
    before = await job.step("before", lambda: 1.0)
    began = job.now()
    await job.sleep(seconds)
    return [before, round(job.now() - began, 1)]


@workflow("publish")
async def publish(job: Job, text: str, timeout: float | None = None) -> str:
    said = await job.approval("publish", {"text": text}, timeout=timeout)
    return f"{text}, said {said.by}"


@workflow("listen")
async def listen(job: Job, times: int = 1) -> list[Any]:
    return [await job.wait("news", timeout=1000) for _ in range(times)]


@workflow("both")
async def both(job: Job) -> list[Any]:
    return await job.gather(job.wait("one", key="1"), job.wait("two", key="2"), job.step("three", lambda: 3))


async def say(world: World, job: str, message: InboxMessage) -> None:
    await world.client.store.append(world.subjects.inbox("default", job), msgspec.json.encode(message))


async def state_of(world: World, job: str) -> JobState:
    return await world.reader.state("default", job)


async def reached(world: World, job: str, status: str) -> JobState:
    while (await state_of(world, job)).status != status:
        await world.clock.sleep(0.05)
    return await state_of(world, job)


async def test_a_job_that_sleeps_is_held_by_nobody_and_wakes_on_time(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    owner = await world.host("a", nap)
    handle = await world.submit_job("nap", {"seconds": 3600})
    await reached(world, handle.id, "waiting")
    await until(lambda: not owner.running)
    began = clock.monotonic()
    assert await handle.result(4000) == [1.0, 3600.0]
    assert clock.monotonic() - began < 3601
    state = await state_of(world, handle.id)
    assert [each.epoch for each in state.claims] == [1, 2]
    assert not state.void
    await world.close()


async def test_a_sleeping_job_wakes_although_everything_was_restarted(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("a", nap)
    handle = await world.submit_job("nap", {"seconds": 100})
    await reached(world, handle.id, "waiting")
    await world.crash("a")
    world.server.stop()
    await clock.sleep(200)
    world.server.start()
    await world.host("b", nap)
    assert (await handle.result(500))[0] == 1.0
    await world.close()


async def test_the_first_answer_that_names_the_exact_action_counts(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("a", publish)
    handle = await world.submit_job("publish", {"text": "hello"})
    state = await reached(world, handle.id, "waiting")
    assert state.head is not None
    (wait,) = state.head.waits
    assert (wait.kind, wait.name, wait.risk) == ("approval", "publish", "high")
    await say(world, handle.id, Approve(key=wait.key, digest="sha256:other", by="mallory"))
    await say(world, handle.id, Approve(key=wait.key, digest=wait.digest, by="ann"))
    await say(world, handle.id, Deny(key=wait.key, digest=wait.digest, by="bob"))
    assert await handle.result(100) == "hello, said ann"
    entries = await world.reader.read("default", handle.id)
    passed = [event for each in entries for event in each.entry.events if isinstance(event, InboxPassed)]
    assert passed[0].by == "mallory"
    await world.close()


async def test_no_is_raised_and_so_is_silence(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("a", publish)
    denied = await world.submit_job("publish", {"text": "hello"})
    state = await reached(world, denied.id, "waiting")
    await say(
        world, denied.id, Deny(key="publish", digest=state.waits["publish"].opened.digest, by="bob", reason="typo")
    )
    with pytest.raises(Denied, match="by bob: typo"):
        await denied.result(100)
    silent = await world.submit_job("publish", {"text": "hello", "timeout": 60})
    with pytest.raises(WaitExpired):
        await silent.result(100)
    await world.close()


async def test_a_signal_that_came_early_counts_and_each_ends_one_wait(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("a", listen)
    handle = await world.submit_job("listen", {"times": 3})
    for number in range(3):
        await say(world, handle.id, SendSignal(name="news", value=msgspec.Raw(b"%d" % number)))
    assert await handle.result(100) == [0, 1, 2]
    await world.close()


async def test_what_is_said_while_no_host_is_up_is_heard_later(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("a", both)
    handle = await world.submit_job("both")
    await reached(world, handle.id, "waiting")
    await world.crash("a")
    await say(world, handle.id, SendSignal(name="two", value=msgspec.Raw(b"2")))
    await clock.sleep(60)
    await world.host("b", both)
    state = await reached(world, handle.id, "waiting")
    while state.waits["2"].answer is None:
        await clock.sleep(0.1)
        state = await state_of(world, handle.id)
    await say(world, handle.id, SendSignal(name="one", value=msgspec.Raw(b"1")))
    assert await handle.result(100) == [1, 2, 3]
    await world.close()


async def test_the_jobs_deadline_ends_a_wait_that_nobody_holds(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("a", listen)
    handle = await world.submit_job("listen", {"times": 1}, deadline=30)
    await reached(world, handle.id, "waiting")
    assert (await reached(world, handle.id, "failed")).fault.code == "deadline-exceeded"  # type: ignore[union-attr]
    await world.close()


@pytest.mark.parametrize("status", ["waiting", "running"])
async def test_a_cancelled_job_ends_wherever_it_is(clock: Clock, ids: Ids, status: str) -> None:
    stopped = []

    async def slow(_: Any) -> None:
        try:
            await clock.sleep(1000)
        finally:
            stopped.append(True)

    @workflow("long")
    async def long(job: Job) -> None:
        if status == "waiting":
            await job.wait("never")
        await job.call("slow")

    world = World(clock, ids, slow=slow)
    await world.host("a", long)
    handle = await world.submit_job("long")
    await reached(world, handle.id, status)
    await clock.sleep(1)
    await say(world, handle.id, Cancel(by="ann", reason="enough"))
    with pytest.raises(Cancelled, match="cancelled by ann: enough"):
        await handle.result(10)
    assert (await state_of(world, handle.id)).status == "cancelled"
    assert stopped == ([True] if status == "running" else [])
    await world.close()


async def test_a_paused_job_finishes_what_is_under_way_and_begins_nothing_until_it_is_resumed(
    clock: Clock, ids: Ids
) -> None:
    @workflow("two")
    async def two(job: Job) -> list[Any]:
        return [await job.call("slow", 1), await job.call("slow", 2)]

    async def slow(number: int) -> int:
        await clock.sleep(10)
        return number

    world = World(clock, ids, slow=slow)
    owner = await world.host("a", two)
    handle = await world.submit_job("two")
    await until(lambda: len(world.contractor.calls) == 1, timeout=10)
    await say(world, handle.id, Pause(by="ann"))
    state = await reached(world, handle.id, "paused")
    assert [each.state for each in state.steps.values()] == ["succeeded"]
    await clock.sleep(100)
    assert len(world.contractor.calls) == 1
    assert not owner.running
    await say(world, handle.id, Resume(by="ann"))
    assert await handle.result(100) == [1, 2]
    await world.close()


async def test_a_pause_at_once_stops_what_is_under_way_and_it_is_done_again_later(clock: Clock, ids: Ids) -> None:
    stopped: list[str] = []

    async def slow(number: int) -> int:
        try:
            await clock.sleep(10)
        except asyncio.CancelledError:
            stopped.append("stopped")
            raise
        return number

    @workflow("one")
    async def one(job: Job) -> int:
        return int(await job.call("slow", 1))

    world = World(clock, ids, slow=slow)
    await world.host("a", one)
    handle = await world.submit_job("one")
    await until(lambda: len(world.contractor.calls) == 1, timeout=10)
    await say(world, handle.id, Pause(now=True))
    state = await reached(world, handle.id, "paused")
    assert (stopped, state.steps["slow"].state) == (["stopped"], "started")
    await say(world, handle.id, Resume())
    assert await handle.result(100) == 1
    assert len(world.contractor.calls) == 2
    await world.close()


async def test_a_pause_taken_back_at_once_changes_nothing(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("a", listen)
    handle = await world.submit_job("listen", {"times": 1})
    await reached(world, handle.id, "waiting")
    await say(world, handle.id, Pause())
    await reached(world, handle.id, "paused")
    await say(world, handle.id, Resume())
    await say(world, handle.id, SendSignal(name="news"))
    assert await handle.result(100) == [None]
    await world.close()


async def test_a_job_that_was_let_go_of_with_nothing_to_wait_for_is_taken_up_again(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.submit("j1", "nap", {"seconds": 1})
    journal = await world.journal("gone")
    await journal.claim()
    await journal.let_go(Suspended())
    await world.host("a", nap)
    assert (await reached(world, "j1", "completed")).epoch > 1
    await world.close()
