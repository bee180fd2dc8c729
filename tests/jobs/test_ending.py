"""Whoever wants nothing but a job's result hears of its end once, whatever is missed or made up on the way."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.outside.ending import LOOK_EVERY
from mesh.jobs.outside.submission import JobHandle
from mesh.protocols.errors import Conflict, TimedOut
from mesh.protocols.job_events import Completed, Value, encode_entry
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


@workflow("patient")
async def patient(job: Job, seconds: float) -> str:
    return await job.step("wait", late, seconds)


async def late(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


async def test_the_end_is_heard_at_once_and_not_looked_for(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("p", patient)
    handle = await world.submit_job("patient", 60.5 * LOOK_EVERY)
    began = clock.monotonic()
    assert await handle.result(3600) == "done"
    assert clock.monotonic() - began < 60.5 * LOOK_EVERY + 0.1
    assert await handle.result(0.1) == "done", "what is over is over"
    await world.close()


async def test_a_job_that_goes_on_or_was_never_handed_in_is_told_apart(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("p", patient)
    handle = await world.submit_job("patient", 100)
    with pytest.raises(TimedOut, match="is running after 10 s; it goes on"):
        await handle.result(10)
    with pytest.raises(TimedOut, match="not journaled yet after 10 s"):
        await JobHandle(handle._client, "unheard-of").result(10)
    await world.close()


async def test_an_end_that_was_missed_is_found(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("p", patient)
    handle = await world.submit_job("patient", 10)
    waiting = asyncio.ensure_future(handle.result(3600))
    await asyncio.sleep(5)
    world.server.cut("client")
    await asyncio.sleep(10)
    world.server.restore("client")
    began = clock.monotonic()
    assert await waiting == "done"
    assert clock.monotonic() - began < 2 * LOOK_EVERY
    await world.close()


async def test_an_end_that_the_journal_refused_is_none(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("p", patient)
    handle = await world.submit_job("patient", 30)
    waiting = asyncio.ensure_future(handle.result(3600))
    await asyncio.sleep(5)
    last = await world.reader.last("default", handle.id)
    assert last is not None
    made_up = msgspec.structs.replace(
        last.entry,
        head=msgspec.structs.replace(last.entry.head, state="completed"),
        events=(Completed(output=Value(inline=msgspec.Raw(b'"made up"'))),),
    )
    with pytest.raises(Conflict):
        await world.connect("liar").store.append(
            world.subjects.job("default", handle.id), encode_entry(made_up), expected=0
        )
    assert await waiting == "done"
    await world.close()
