"""A job that is cancelled at any moment ends, and so do its children; what had succeeded is undone, whoever dies."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


class Target:
    """Does things and undoes them, each in half a second."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    async def book(self, name: str) -> str:
        await self.clock.sleep(0.5)
        return name

    async def cancel(self, name: str) -> None:
        await self.clock.sleep(0.5)


@workflow("inner")
async def inner(job: Job, name: str) -> str:
    await job.call("book", f"{name} inner", key="book", compensate="cancel")
    await job.sleep(1)
    return name


@workflow("outer")
async def outer(job: Job) -> Any:
    await job.map("book", ["x", "y"], key=str, compensate="cancel")
    await job.gather(job.child(inner, "a", key="a"), job.call("book", "w", key="w", compensate="cancel"))
    await job.sleep(1)
    await job.call("book", "z", key="z", compensate=lambda name: job.call("cancel", name))
    return "done"


@pytest.mark.parametrize("at", [0.02, 0.9, 1.6, 2.6, 3.4])
@pytest.mark.parametrize("apart", [None, 0.13])
@pytest.mark.parametrize("pause", [False, True])
async def test_whenever_a_job_is_cancelled_everything_ends_and_is_undone(
    at: float, apart: float | None, pause: bool, clock: Clock, ids: Ids
) -> None:
    target = Target(clock)
    world = World(clock, ids, book=target.book, cancel=target.cancel)
    await world.host("h0", outer, inner)
    await world.host("k0", outer, inner)
    handle = await world.submit_job("outer")
    await clock.sleep(at)
    if pause:
        await handle.pause(timeout=100)
        await clock.sleep(0.3)
        await handle.resume(timeout=100)
    verdict = await handle.cancel(timeout=600)
    if apart is not None:
        await clock.sleep(apart)
        await world.crash("h0")
        await world.host("h1", outer, inner)
    state = await handle.watch(timeout=3600)
    await clock.sleep(30)
    assert state.status in (("cancelled", "compensated") if verdict.taken else ("completed",))
    assert not state.void
    for record in await world.reader.heads():
        each = await world.reader.state("default", record.entry.job)
        assert each.terminal
        booked = [step for step in each.steps.values() if step.name == "book" and step.state == "succeeded"]
        assert each.status == "completed" or all(step.undoing == "succeeded" for step in booked)
    await world.close()
