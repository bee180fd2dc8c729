"""Everything is restarted, one after the other and gently, while jobs come in and agents are asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.client.mesh import Mesh
from mesh.testing.virtual_time import until
from tests.chaos.fleet import Fleet
from tests.chaos.glutton import FOLDER
from tests.chaos.household import Household
from tests.chaos.load import asking, in_words, under_load
from tests.chaos.report import spread
from tests.chaos.scenario import Scenario
from tests.cluster import Cluster
from tests.faults.expectations import listed

pytestmark = [pytest.mark.server, pytest.mark.fault]

OWNERS = ("one", "two")
HANDS = ("hand", "other-hand")
MANIFEST = """
[[agents]]
use = "tests.chaos.glutton:Glutton"
instances = 2
"""
SETTLED_WITHIN = 60.0


@pytest.fixture
async def household(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Household]:
    household = Household(cluster.url, tmp_path, "house", MANIFEST, **{FOLDER: str(tmp_path)})
    yield household
    household.end()


async def test_31_everything_is_restarted_one_after_the_other(
    chaos: Scenario, cluster: Cluster, cluster_fleet: Fleet, cluster_mesh: Mesh, household: Household
) -> None:
    """rolling restart of everything under load: owners, agents, a host, the three servers · no job fails, no ask is lost beyond a typed transient error"""
    fleet, mesh = cluster_fleet, cluster_mesh
    await fleet.start(*OWNERS)
    await fleet.start(*HANDS, works=True, drives=False)
    hosted = chaos.pick(False, True)
    if hosted:
        await household.up()
    took: list[float] = []
    load = under_load(fleet, mesh, at_once=chaos.pick(2, 4), pause=chaos.pick(0.3, 0.1))
    async with asking(fleet, mesh, pause=chaos.pick(0.1, 0.02)) as asked, load:
        for _ in range(chaos.pick(1, 3)):
            for name in (*OWNERS, *HANDS):
                began = time.time()
                await fleet.stop(name)
                await fleet.start(name)
                await listed(
                    mesh,
                    *(OWNERS if name in OWNERS else HANDS),
                    agent="jobs" if name in OWNERS else "hand",
                    within=SETTLED_WITHIN,
                )
                took.append(time.time() - began)
            if hosted:
                began = time.time()
                assert await household.down() == 0
                await household.up()
                took.append(time.time() - began)
            for server in cluster.servers:
                began = time.time()
                await asyncio.to_thread(cluster.servers[server].stop)
                await cluster.start(server)
                await cluster.ready()
                took.append(time.time() - began)
        await until(lambda: "ok" in asked.codes, timeout=60)
    await fleet.over(mesh, within=150)
    done = f"{len(took)} restarts"
    held = f"no job failed; asks: {in_words(asked)}"
    await chaos.conclude(fleet, cluster.url, done, held, recovery=f"each in turn: {spread(took)}")
    assert not fleet.mishaps(*OWNERS, *HANDS)
