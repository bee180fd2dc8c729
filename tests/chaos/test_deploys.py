"""The next release of a workflow is deployed while its jobs are under way."""

from __future__ import annotations

import msgspec
import pytest

from mesh.client.mesh import Mesh
from mesh.jobs.outside.handle import JobHandle
from tests.chaos.deployed import NEW, OLD
from tests.chaos.fleet import Fleet
from tests.chaos.scenario import Scenario
from tests.faults.expectations import soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

OWNERS = ("one", "two")


async def test_19_a_deploy_renames_and_reorders_steps(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """deploy with renamed and reordered steps mid-job · guarded: old jobs go the old way; not guarded: they are parked, and say why"""
    jobs = chaos.pick(3, 50)
    await fleet.start(*OWNERS, release="old")
    old = [await fleet.hand_in(mesh, [], workflow="careful", result=OLD) for _ in range(jobs)]
    careless = [await fleet.hand_in(mesh, [], workflow="careless") for _ in range(jobs)]
    for job in [*old, *careless]:
        await _waits(job)
    for name in OWNERS:
        fleet.kill(name)
    await fleet.start(*OWNERS, release="new")
    new = [await fleet.hand_in(mesh, [], workflow="careful", result=NEW) for _ in range(jobs)]
    for job in [*old, *careless, *new]:
        await soon(lambda job=job: job.signal("go", key=f"go-{job.id}", timeout=60), 120)  # type: ignore[misc]
    for job in careless:
        parked = await job.watch(until=lambda state: state.status == "parked", timeout=60)
        (wait,) = (each.opened for each in parked.open_waits)
        assert wait.name == "replay-diverged"
        assert msgspec.json.decode(wait.about.inline)["key"] == "charge"
        await soon(lambda job=job: job.cancel(by="whoever deployed it", key=f"end-{job.id}", timeout=60), 120)  # type: ignore[misc]
    await fleet.over(mesh, within=150)
    done = f"{2 * jobs} jobs under way, {jobs} new ones"
    await chaos.conclude(fleet, server.url, done, "as guarded, or parked", states=("completed", "cancelled"))
    assert {(await job.state()).status for job in [*old, *new]} == {"completed"}
    assert {(await job.state()).status for job in careless} == {"cancelled"}


async def _waits(job: JobHandle) -> None:
    await job.watch(until=lambda state: state.status == "waiting", timeout=60)
