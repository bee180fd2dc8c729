"""Found by the simulator (seed 607177): in a cluster, one server may show that a child has ended, and the one that is asked next
what it came to may not have heard of that yet. Before, its parent was told `None`."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.protocols.errors import UnknownJob
from mesh.protocols.job_state import JobState, fold
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


@workflow("child")
async def child(job: Job) -> str:
    await job.sleep(0.4)
    return "done"


@workflow("parent")
async def parent(job: Job) -> str:
    return f"it is {await job.child('child')}"


@pytest.mark.parametrize("heard", [0, 1])
async def test_what_a_child_came_to_is_read_where_it_is_over(clock: Clock, ids: Ids, heard: int) -> None:
    world = World(clock, ids)
    owner = await world.host("one", parent, child)
    handle = await world.submit_job("parent")
    [wait] = (await handle.watch(timeout=5, until=lambda state: state.status == "waiting")).open_waits
    journals: Any = owner.journals
    fresh, behind = journals.state, 0

    async def lagging(tenant: str, job: str, **options: Any) -> JobState:
        """What a follower shows that has heard of so many entries of the child's."""
        nonlocal behind
        state: JobState = await fresh(tenant, job, **options)
        if job != wait.opened.child or not state.terminal or behind == 3:
            return state
        behind += 1
        if not heard:
            raise UnknownJob(f"no job {job} of tenant {tenant}")
        return fold((await world.reader.read(tenant, job))[:heard])

    journals.state = lagging
    assert await handle.result(20) == "it is done"
    assert behind == 3
    await world.close()
