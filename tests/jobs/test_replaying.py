"""Replaying a journal against code, with nothing sent and nothing journaled."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.replay.replaying import replay
from mesh.protocols.errors import JournalCorrupt, Refused
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual
sent: list[Any] = []


def effect(what: Any) -> Any:
    sent.append(what)
    return what


@workflow("trip")
async def trip(job: Job, to: str) -> dict[str, Any]:
    where = await job.step("where", effect, to)
    try:
        await job.call("refuses", where)
    except Refused as error:
        await job.put_artifact("trip.refusal", error.message)
    parts = await job.gather(
        job.call("part", 1, key="one"), job.branch("two", both(job)), job.call("nobody", key="none")
    )
    approved = await job.approval("go", {"to": where}, risk="high")
    await job.sleep(5)
    return {"parts": parts[:2], "by": approved.by, "at": job.now(), "id": job.uuid()}


async def both(job: Job) -> list[Any]:
    return [await job.call("part", 2), await job.call("part", 3)]


@workflow("trip")
async def trip_with_another_end(job: Job, to: str) -> dict[str, Any]:
    return {**(await trip.function(job, to)), "by": "nobody"}


@workflow("trip")
async def trip_with_another_step(job: Job, to: str) -> dict[str, Any]:
    await job.step("before", effect, to)
    return await trip.function(job, to)


@workflow("trip")
async def trip_with_another_input(job: Job, to: str) -> dict[str, Any]:
    return await trip.function(job, to + "!")


@workflow("trip")
async def trip_that_raises(job: Job, to: str) -> dict[str, Any]:
    await trip.function(job, to)
    raise Refused("no")


async def travelled(world: World, until: str) -> Any:
    """The records of a job of `trip`, as far as it had come."""
    await world.host("a", trip)
    handle = await world.submit_job("trip", "rome")
    if until == "running":
        await world.clock.sleep(1)
        return await world.reader.read("default", handle.id)
    await world.clock.sleep(20)
    if until == "completed":
        (wait,) = (await handle.state()).open_waits
        await handle.approve("go", digest=wait.opened.digest, by="ann")
        await handle.result(100)
    if until == "cancelled":
        await handle.cancel(by="ann")
        await world.clock.sleep(20)
    return await world.reader.read("default", handle.id)


def world(clock: Clock, ids: Ids) -> World:
    def refuses(_: Any) -> Any:
        raise Refused("not there")

    async def part(number: int) -> Any:
        await clock.sleep(number)
        return effect(number)

    return World(clock, ids, refuses=refuses, part=part)


@pytest.mark.parametrize("until", ["running", "waiting", "completed", "cancelled"])
async def test_code_that_has_not_changed_fits_its_journal_and_does_nothing(until: str, clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    records = await travelled(stage, until)
    await stage.close()
    before = (len(sent), len(stage.contractor.calls))
    report = await replay(records, trip)
    assert report.ok, report
    assert (report.state, report.ended) == (until, until == "completed")
    assert (len(sent), len(stage.contractor.calls)) == before
    assert await stage.reader.read("default", report.job) == records


@pytest.mark.parametrize(
    ("code", "until", "kind", "says"),
    [
        (trip_with_another_end, "completed", "outcome", '$.by: "ann" → "nobody"'),
        (trip_with_another_step, "completed", "unasked", "asks for 'before' instead"),
        (trip_with_another_step, "waiting", "unasked", "asks for 'before' instead"),
        (trip_with_another_input, "running", "input", '$[0]: "rome" → "rome!"'),
        (trip_that_raises, "completed", "outcome", "fails with refused"),
    ],
)
async def test_the_first_difference_is_told_with_both_sides(
    code: Any, until: str, kind: str, says: str, clock: Clock, ids: Ids
) -> None:
    stage = world(clock, ids)
    report = await replay(await travelled(stage, until), code)
    assert report.divergence is not None
    assert (report.ok, report.divergence.kind) == (False, kind)
    assert says in str(report)
    assert msgspec.to_builtins(report)["divergence"]["journaled"]
    await stage.close()


async def test_a_job_that_goes_on_where_it_ended_is_different(clock: Clock, ids: Ids) -> None:
    @workflow("short")
    async def short(job: Job) -> int:
        return await job.step("one", lambda: 1)

    @workflow("short")
    async def longer(job: Job) -> int:
        return await job.step("one", lambda: 1) + await job.step("two", lambda: 2)

    stage = World(clock, ids)
    await stage.host("a", short)
    handle = await stage.submit_job("short")
    await handle.result(100)
    records = await stage.reader.read("default", handle.id)
    assert (await replay(records, short)).ok
    report = await replay(records, longer)
    assert str(report).endswith("at 'two' the journal has its end before, and the workflow now asks for it")
    await stage.close()


async def test_large_values_are_fetched_and_none_is_kept(clock: Clock, ids: Ids) -> None:
    @workflow("large")
    async def large(job: Job, text: str) -> str:
        return await job.step("double", lambda text: text * 2, text)

    stage = World(clock, ids)
    owner = await stage.host("a", large)
    handle = await stage.submit_job("large", "x" * 70_000)
    await handle.result(100)
    records = await stage.reader.read("default", handle.id)
    objects = await owner.seat.store.objects(owner.seat.subjects.bucket("objects"))
    assert (await replay(records, large, objects.get)).ok
    with pytest.raises(JournalCorrupt, match="object"):
        await replay(records, large)
    await stage.close()


async def test_what_is_no_journal_is_said_so() -> None:
    with pytest.raises(JournalCorrupt, match="nothing to replay"):
        await replay([], trip)
