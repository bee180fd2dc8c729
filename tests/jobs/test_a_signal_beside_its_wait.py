"""Found by the simulator (seed 148): a signal that was journaled just behind the wait it is for, because its owner had not heard
yet that the wait is stored, is paired with it by whoever takes the job up next. Before, the job stood still for ever."""

from __future__ import annotations

import msgspec
import pytest
from job_scribe import Scribe
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.job_events import OwnerClaimed, OwnerReleased, SignalReceived, Value, WaitOpened
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


@workflow("one-word")
async def one_word(job: Job) -> str:
    return await job.wait("word", returns=str)


async def test_a_kept_signal_meets_the_wait_that_was_opened_before_it(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.submit(workflow="one-word")
    scribe = Scribe(world)
    opened = WaitOpened(key="word", kind="signal", name="word")
    signal = SignalReceived(name="word", inbox=1, value=Value(inline=msgspec.Raw(b'"hello"')))
    await scribe.write(OwnerClaimed(process="p"), opened, signal, OwnerReleased(reason="leaving"), owner="p", epoch=1)
    await world.host("one", one_word)
    assert await JobHandle(world.client, "j1").result(20) == "hello"
    await world.close()
