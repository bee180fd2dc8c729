"""A job that its submitter has given up before anybody came to it does nothing."""

from __future__ import annotations

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.replay.replaying import replay
from mesh.protocols.errors import DeadlineExceeded
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


async def test_a_job_whose_deadline_passed_before_it_was_begun_ends_without_a_step(clock: Clock, ids: Ids) -> None:
    done: list[str] = []

    @workflow("late")
    async def late(job: Job) -> None:
        await job.step("work", done.append, "work", compensate=lambda _: done.append("undone"))

    world = World(clock, ids)
    await world.submit("j1", "late", deadline=10.0)
    await clock.sleep(60)
    owner = await world.host("p", late, look_every=1.0)
    while not (state := await world.reader.state("default", "j1")).terminal:
        await clock.sleep(0.5)
    assert state.fault is not None
    assert (state.status, state.fault.code) == ("failed", "deadline-exceeded")
    assert "had passed before it was begun" in state.fault.message
    assert not done
    assert not state.steps
    assert owner.seat.counts == {"job-given-up": 1}
    report = await replay(await world.reader.read("default", "j1"), late)
    await world.close()
    assert report.ok, report


async def test_a_job_that_was_begun_in_time_is_undone_when_its_deadline_has_passed(clock: Clock, ids: Ids) -> None:
    done: list[str] = []

    @workflow("late")
    async def late(job: Job) -> None:
        await job.step("work", done.append, "work", compensate=lambda _: done.append("undone"))
        await job.sleep(1000)

    world = World(clock, ids)
    await world.host("p", late)
    handle = await world.submit_job("late", deadline=10.0)
    with pytest.raises(DeadlineExceeded):
        await handle.result(100)
    assert done == ["work", "undone"]
    await world.close()
