"""One acknowledgement in five never arrives: whoever wrote does not know whether it was stored."""

from __future__ import annotations

import pytest

from mesh.client.mesh import Mesh
from tests.chaos.fleet import Fleet
from tests.chaos.plans import acts
from tests.chaos.scenario import Scenario, not_quick
from tests.cluster import Cluster
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

LOST = 0.2


async def test_07_acknowledgements_are_lost(chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh) -> None:
    """drop 20 % of publish acks, R1 · what was stored counts once, what was not is stored"""
    await _jobs_come_through(chaos, server.url, fleet, mesh)


@not_quick
async def test_07_acknowledgements_are_lost_in_a_cluster(
    chaos: Scenario, cluster: Cluster, cluster_fleet: Fleet, cluster_mesh: Mesh
) -> None:
    """drop 20 % of publish acks, R3 · what was stored counts once, what was not is stored"""
    await _jobs_come_through(chaos, cluster.url, cluster_fleet, cluster_mesh)


async def _jobs_come_through(chaos: Scenario, url: str, fleet: Fleet, mesh: Mesh) -> None:
    await fleet.start("one", "two", lose=LOST)
    await fleet.start("hand", works=True, drives=False)
    jobs = chaos.pick(10, 300)
    await fleet.hand_in_all(mesh, jobs, acts(4))
    await fleet.hand_in_all(mesh, jobs, acts(2, how="call"))
    await fleet.hand_in_all(mesh, jobs, acts(4), workflow="fan")
    await fleet.over(mesh, within=240)
    evidence = await chaos.conclude(fleet, url, f"{3 * jobs} jobs", "each result counts once", recovery="none needed")
    assert all(records[-1].entry.epoch == 1 for records in evidence.journals.values()) or fleet.lapsed("one", "two"), (
        "a lost ack cost an owner its job"
    )
    assert not fleet.mishaps("one", "two")
