"""A process that hosts workflows tells how loaded it is for as long as it hosts them, and no longer."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.host import JobHost
from mesh.protocols.ports import Clock, Ids
from mesh.testing.local import local_mesh

pytestmark = pytest.mark.virtual


async def test_who_has_left_tells_nothing_more_of_its_load(clock: Clock, ids: Ids) -> None:
    @workflow("long")
    async def long(job: Job) -> None:
        await job.step("nap", clock.sleep, 5)

    async with local_mesh(clock=clock, ids=ids, process="p") as mesh:
        host = JobHost(mesh.peer, mesh.initiator)
        await host.host(long)
        await mesh.submit("long")
        await clock.sleep(1)
        figures = mesh.peer.presence._heart._beats._figures
        assert figures["jobs.p"].running == 1
        await host.drain(0.01)
        mesh.peer.votes._changed_votes()
        await clock.sleep(5)
        assert "jobs.p" not in figures
        await host.stop()


@pytest.mark.parametrize("thing", [len, [len], "a name"])
async def test_what_is_no_workflow_is_told_how_to_become_one(clock: Clock, ids: Ids, thing: Any) -> None:
    async with local_mesh(clock=clock, ids=ids) as mesh:
        with pytest.raises(TypeError, match="@workflow"):
            await mesh.host_workflow(thing)
