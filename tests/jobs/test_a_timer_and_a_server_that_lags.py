"""Found by the simulator (seed 661): in a cluster, the server that is asked about a job whose timer has come due may not have
heard yet that the job waits for it. Before, the timer was acknowledged, and the job slept for ever."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.protocols.job_state import fold
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


@workflow("nap")
async def nap(job: Job) -> str:
    await job.sleep(0.4)
    return "awake"


@pytest.mark.parametrize("reading", ["last", "state"])
async def test_a_timer_that_is_due_before_its_wait_is_seen_comes_again(clock: Clock, ids: Ids, reading: str) -> None:
    world = World(clock, ids)
    owner = await world.host("one", nap)
    handle = await world.submit_job("nap")
    suspended = await handle.watch(timeout=5, until=lambda state: state.status == "waiting")
    assert suspended.open_waits
    journals: Any = owner.journals
    before = await journals.state("default", handle.id)
    fresh, asked = getattr(journals, reading), 0

    async def lagging(*about: Any, **options: Any) -> Any:
        """What a follower shows that has heard of the job's first entry only."""
        nonlocal asked
        asked += 1
        if asked > 3:
            return await fresh(*about, **options)
        return await first(reading, world, handle.id)

    setattr(journals, reading, lagging)
    assert await handle.result(20) == "awake"
    assert (asked > 3, before.status) == (True, "waiting")
    await world.close()


async def first(reading: str, world: World, job: str) -> Any:
    records = await world.reader.read("default", job)
    return records[0] if reading == "last" else fold(records[:1])
