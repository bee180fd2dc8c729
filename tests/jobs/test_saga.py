"""A job that fails or is cancelled undoes what it had done: the last first, each once, whoever dies meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.undo import Undo
from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.outside.submission import JobHandle
from mesh.protocols.errors import Cancelled, HandlerFailed, MeshError, Refused
from mesh.protocols.job_events import CompFailed, CompStarted, CompSucceeded, tag_of
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


class Target:
    """Somebody outside who does things and undoes them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls: list[str] = []
        self.fails = 0

    def book(self, name: str) -> dict[str, str]:
        self.calls.append(f"book {name}")
        return {"booked": name}

    async def cancel(self, booking: dict[str, str]) -> None:
        await self.clock.sleep(1)
        if self.fails:
            self.fails -= 1
            raise HandlerFailed("the line is busy")
        self.calls.append(f"cancel {booking['booked']}")


async def ended(handle: JobHandle, status: str) -> JobState:
    """The job's state once it is over, in the way expected."""
    state = await handle.watch(timeout=3600)
    assert state.status == status, state.fault
    return state


async def until(handle: JobHandle, status: str) -> JobState:
    """The job's state once it is in this one, to stay."""
    return await handle.watch(timeout=3600, until=lambda state: state.status == status)


async def story(world: World, handle: JobHandle) -> list[str]:
    """What was journaled about undoing."""
    events = [each for record in await world.reader.read("default", handle.id) for each in record.entry.events]
    return [
        f"{tag_of(each)} {each.key}" for each in events if isinstance(each, CompStarted | CompSucceeded | CompFailed)
    ]


def trip_of(target: Target, *, fail: bool = True) -> Any:
    @workflow("trip")
    async def trip(job: Job) -> str:
        await job.call("book", "flight", key="flight", compensate="cancel")
        await job.step("hotel", target.book, "hotel", effect="idempotent", compensate=target.cancel)
        await job.step("notes", str, "nothing to undo")
        await job.call("book", "car", key="car", compensate=lambda booking: job.call("cancel", booking))
        if fail:
            raise Refused("the visa was refused")
        await job.call("wait", key="long")
        return "there"

    return trip


def world_of(clock: Clock, ids: Ids, target: Target) -> World:
    return World(clock, ids, book=target.book, cancel=target.cancel, wait=lambda _: clock.sleep(1000))


async def test_what_a_failed_job_had_done_is_undone_last_first(clock: Clock, ids: Ids) -> None:
    target = Target(clock)
    world = world_of(clock, ids, target)
    await world.host("p", trip_of(target))
    handle = await world.submit_job("trip")
    with pytest.raises(Refused, match="the visa was refused"):
        await handle.result(3600)
    assert target.calls == [
        "book flight", "book hotel", "book car", "cancel car", "cancel hotel", "cancel flight",
    ]  # fmt: skip
    await ended(handle, "compensated")
    assert await story(world, handle) == [
        "comp.started car", "comp.succeeded car", "comp.started hotel", "comp.succeeded hotel",
        "comp.started flight", "comp.succeeded flight",
    ]  # fmt: skip
    undo = next(each for each in world.contractor.calls if each.step == "flight/undo")
    assert undo.key == f"{handle.id}/flight/undo"
    await world.close()


async def test_a_job_without_anything_to_undo_just_fails(clock: Clock, ids: Ids) -> None:
    @workflow("plain")
    async def plain(job: Job) -> None:
        await job.call("wrong", key="a", compensate="cancel")

    def wrong(_: Any) -> None:
        raise Refused("no")

    world = World(clock, ids, wrong=wrong)
    await world.host("p", plain)
    handle = await world.submit_job("plain")
    await ended(handle, "failed")
    assert await story(world, handle) == []
    await world.close()


async def test_a_cancelled_job_is_undone_and_cannot_be_cancelled_out_of_it(clock: Clock, ids: Ids) -> None:
    target = Target(clock)
    world = world_of(clock, ids, target)
    await world.host("p", trip_of(target, fail=False))
    handle = await world.submit_job("trip")
    await clock.sleep(5)
    assert (await handle.cancel(by="ann", reason="changed plans", timeout=60)).taken
    again = await handle.cancel(by="bob", timeout=60)
    assert again.why == "the job is being cancelled already"
    state = await ended(handle, "compensated")
    assert state.fault is not None
    assert "changed plans" in state.fault.message
    assert target.calls[3:] == ["cancel car", "cancel hotel", "cancel flight"]
    with pytest.raises(Cancelled):
        await handle.result()
    await world.close()


async def test_a_cancelled_job_that_did_nothing_is_cancelled(clock: Clock, ids: Ids) -> None:
    @workflow("waiting")
    async def waiting(job: Job) -> None:
        await job.wait("never")

    world = World(clock, ids)
    await world.host("p", waiting)
    handle = await world.submit_job("waiting")
    await until(handle, "waiting")
    assert (await handle.cancel(timeout=60)).taken
    await ended(handle, "cancelled")
    await world.close()


@pytest.mark.parametrize("seconds", [0.5, 1.5, 2.5])
async def test_an_owner_killed_while_undoing_is_succeeded_by_one_that_goes_on_with_it(
    seconds: float, clock: Clock, ids: Ids
) -> None:
    target = Target(clock)
    world = world_of(clock, ids, target)
    trip = trip_of(target)
    await world.host("a", trip)
    handle = await world.submit_job("trip")
    while (await handle.state()).undoing is None:
        await clock.sleep(0.05)
    await clock.sleep(seconds)
    await world.crash("a")
    await world.host("b", trip)
    state = await ended(handle, "compensated")
    assert state.fault is not None
    assert state.fault.message == "the visa was refused"
    assert [each for each in target.calls if each.startswith("book")] == ["book flight", "book hotel", "book car"]
    told = await story(world, handle)
    assert [each for each in told if each.startswith("comp.succeeded")] == [
        "comp.succeeded car", "comp.succeeded hotel", "comp.succeeded flight",
    ]  # fmt: skip
    await world.close()


async def test_while_it_is_undone_the_workflow_never_goes_forward(clock: Clock, ids: Ids) -> None:
    """The fault was one that would not come again: the replay stops where the journal ends all the same."""
    target, strikes = Target(clock), [1]

    @workflow("once")
    async def once(job: Job) -> str:
        await job.call("book", "flight", key="flight", compensate="cancel")
        if strikes:
            strikes.clear()
            raise Refused("only this once")
        await job.call("book", "car", key="car", compensate="cancel")
        return "done"

    world = world_of(clock, ids, target)
    await world.host("a", once)
    handle = await world.submit_job("once")
    while (await handle.state()).undoing is None:
        await clock.sleep(0.05)
    await world.crash("a")
    await world.host("b", once)
    await ended(handle, "compensated")
    assert target.calls == ["book flight", "cancel flight"]
    await world.close()


async def test_a_job_that_ran_out_of_time_while_it_waited_is_undone_by_whoever_wakes_it(clock: Clock, ids: Ids) -> None:
    target = Target(clock)

    @workflow("late")
    async def late(job: Job) -> None:
        await job.call("book", "flight", key="flight", compensate="cancel")
        await job.wait("never")

    world = world_of(clock, ids, target)
    await world.host("p", late)
    handle = await world.submit_job("late", deadline=600)
    await until(handle, "waiting")
    state = await ended(handle, "compensated")
    assert state.fault is not None
    assert state.fault.code == "deadline-exceeded"
    assert target.calls == ["book flight", "cancel flight"]
    await world.close()


async def test_an_undoing_that_fails_at_first_is_tried_again(clock: Clock, ids: Ids) -> None:
    target = Target(clock)
    target.fails = 2
    world = world_of(clock, ids, target)
    await world.host("p", trip_of(target))
    handle = await world.submit_job("trip")
    await ended(handle, "compensated")
    assert target.calls[3:] == ["cancel car", "cancel hotel", "cancel flight"]
    await world.close()


def booking(target: Target, within: float = 60.0) -> Any:
    @workflow("booking")
    async def booked(job: Job) -> None:
        await job.call("book", "flight", key="flight", compensate="cancel")
        await job.call("book", "car", key="car", compensate=Undo("cancel", within=within, attempts=2))
        await job.approval("go", timeout=86400)
        raise Refused("no")

    return booked


async def parked(world: World, handle: JobHandle) -> None:
    """Cancel the booking while the target fails."""
    await until(handle, "waiting")
    await handle.cancel(timeout=60)
    state = await until(handle, "parked")
    assert state.parked == "step 'car' could not be undone: the line is busy"
    (wait,) = state.open_waits
    assert (wait.opened.kind, wait.opened.name, wait.opened.key) == ("resolution", "car", "car/~undo")


@pytest.mark.parametrize("how", ["succeeded", "failed", "retry"])
async def test_an_undoing_that_fails_for_good_parks_the_job_until_a_person_decides(
    how: Any, clock: Clock, ids: Ids
) -> None:
    target = Target(clock)
    target.fails = 2
    world = world_of(clock, ids, target)
    await world.host("a", booking(target))
    handle = await world.submit_job("booking")
    await parked(world, handle)
    stream, subject = world.subjects.stream("EVT"), world.subjects.event("default", "jobs", "alert.raised")
    assert len(await world.client.store.read(stream, subject)) == 1
    await world.crash("a")
    await world.host("b", booking(target))

    assert (await handle.resolve("car", how, by="ann", reason="called them", timeout=60)).taken
    state = await ended(handle, "failed" if how == "failed" else "compensated")
    undone = ["cancel car", "cancel flight"] if how == "retry" else ["cancel flight"]
    assert target.calls == ["book flight", "book car", *undone]
    assert state.fault is not None
    assert state.fault.detail.get("not_undone") == (["car"] if how == "failed" else None)
    assert len(await world.client.store.read(stream, subject)) == 1
    await world.close()


async def test_an_undoing_has_a_time_limit_of_its_own(clock: Clock, ids: Ids) -> None:
    target = Target(clock)
    world = world_of(clock, ids, target)
    await world.host("p", booking(target, within=0.5))
    handle = await world.submit_job("booking")
    await until(handle, "waiting")
    await handle.cancel(timeout=60)
    state = await until(handle, "parked")
    assert "could not be undone" in state.parked
    await world.close()


async def test_an_undoing_that_the_code_does_not_have_any_more_is_left_to_a_person(clock: Clock, ids: Ids) -> None:
    target = Target(clock)

    @workflow("trip")
    async def without(job: Job) -> str:
        await job.call("book", "flight", key="flight")
        raise Refused("no")

    world = world_of(clock, ids, target)
    trip = trip_of(target)
    await world.host("a", trip)
    handle = await world.submit_job("trip")
    while (await handle.state()).undoing is None:
        await clock.sleep(0.05)
    await world.crash("a")
    await world.host("b", without)
    state = await until(handle, "parked")
    assert "does not say any more how 'car' is undone" in state.parked
    await world.close()


def test_what_cannot_undo_anything_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="a capability's name, or a function"):
        Undo(3)  # type: ignore[arg-type]
    with pytest.raises(MeshError):
        Undo("Not A Capability")
    with pytest.raises(TypeError, match="attempts"):
        Undo("cancel", attempts=0)


async def test_what_was_done_beside_a_branch_that_failed_is_undone(clock: Clock, ids: Ids) -> None:
    """Also where it takes a while to recall what came before it."""
    undone: list[str] = []

    async def large() -> str:
        return "x" * 100_000

    async def charge() -> str:
        return "charged"

    async def refund(name: str) -> None:
        undone.append(name)

    async def fails() -> None:
        await clock.sleep(3)
        raise ValueError("no")

    async def part(job: Job) -> None:
        await job.step("large", large)
        await job.step("charge", charge, effect="idempotent", compensate=refund)
        await job.step("slow", clock.sleep, 100)

    @workflow("pays")
    async def pays(job: Job) -> None:
        with pytest.raises(HandlerFailed):
            await job.gather(job.step("fails", fails), job.branch("part", part(job)), on_missing="raise")
        await job.sleep(20)
        raise ValueError("no")

    world = World(clock, ids)
    await world.host("p", pays)
    handle = await world.submit_job("pays")
    state = await handle.watch(timeout=600)
    await world.close()
    assert (state.status, undone) == ("compensated", ["charged"])


@pytest.mark.parametrize("ends", ["fails", "fails-later", "cancelled", "crash"])
async def test_what_was_done_in_a_branch_that_ran_out_of_time_is_undone(ends: str, clock: Clock, ids: Ids) -> None:
    """Whoever owns the job by then, and has not seen it done."""
    undone: list[str] = []

    async def charge(name: str) -> str:
        return name

    async def refund(name: str) -> None:
        undone.append(name)

    async def part(job: Job) -> None:
        await job.step("charge", charge, "first", effect="idempotent", compensate=refund)
        await job.step("again", charge, "second", effect="idempotent", compensate=refund)
        await job.wait("never") if ends == "cancelled" else await job.step("slow", clock.sleep, 100)

    @workflow("pays")
    async def pays(job: Job) -> None:
        await job.gather(job.branch("part", part(job), timeout=5))
        await job.step("after", charge, "third", effect="idempotent", compensate=refund)
        if ends != "fails":
            await job.sleep(20)
        raise ValueError("no")

    world = World(clock, ids)
    await world.host("p", pays)
    handle = await world.submit_job("pays")
    await clock.sleep(10)
    if ends == "cancelled":
        await handle.cancel(timeout=10)
    elif ends == "crash":
        await world.crash("p")
        await world.host("p", pays, start=2)
    state = await handle.watch(timeout=600)
    await world.close()
    assert (state.status, undone) == ("compensated", ["third", "second", "first"])
