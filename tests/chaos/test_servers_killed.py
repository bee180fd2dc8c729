"""The server dies by SIGKILL, again and again, while jobs come in and are driven."""

from __future__ import annotations

import asyncio
import time

import pytest

from mesh.client.mesh import Mesh
from tests.chaos.fleet import Fleet
from tests.chaos.load import under_load
from tests.chaos.scenario import Scenario
from tests.cluster import Cluster
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]


async def test_08_the_server_is_killed_every_few_seconds_under_load(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """kill -9 the server every few seconds under load · what was acknowledged is there, and every job goes on"""
    kills = chaos.pick(2, 30)
    await fleet.start("one", "two")
    await fleet.start("hand", works=True, drives=False)
    back: list[float] = []
    async with under_load(fleet, mesh):
        for _ in range(kills):
            await asyncio.sleep(chaos.pick(0.3, 1) * chaos.chance.uniform(1, 3))
            server.kill()
            await asyncio.sleep(chaos.chance.uniform(0, 1))
            await asyncio.to_thread(server.start)
            back.append(time.time())
    await fleet.over(mesh, within=240)
    await chaos.conclude(
        fleet, server.url, f"server killed {kills} times", "every acknowledged event is there", since=back
    )
    assert not fleet.mishaps("one", "two", "hand")


async def test_09_all_servers_are_killed_and_started_again(
    chaos: Scenario, cluster: Cluster, cluster_fleet: Fleet, cluster_mesh: Mesh
) -> None:
    """kill -9 all servers of a cluster at once, restart · what was acknowledged is there, and every job goes on"""
    fleet, mesh = cluster_fleet, cluster_mesh
    kills = chaos.pick(1, 6)
    await fleet.start("one", "two")
    await fleet.start("hand", works=True, drives=False)
    back: list[float] = []
    async with under_load(fleet, mesh):
        for _ in range(kills):
            await asyncio.sleep(chaos.pick(0.5, 3) * chaos.chance.uniform(1, 2))
            for name in cluster.servers:
                cluster.kill(name)
            await asyncio.sleep(chaos.chance.uniform(0, chaos.pick(0.5, 5)))
            await cluster.start(*cluster.servers)
            back.append(time.time())
            await cluster.ready()
    await fleet.over(mesh, within=240)
    done = f"all three servers killed {kills} times"
    await chaos.conclude(fleet, cluster.url, done, "every acknowledged event is there", since=back)
    assert not fleet.mishaps("one", "two", "hand")
