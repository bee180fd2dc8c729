"""A third of the mesh is cut off from the server, in silence, and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from mesh.client.mesh import Mesh
from tests.chaos.fleet import Fleet
from tests.chaos.load import under_load
from tests.chaos.plans import Act, Asked, acts
from tests.chaos.report import spread
from tests.chaos.scenario import Scenario
from tests.faults.cable import Cable
from tests.faults.expectations import listed, soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

NEAR_OWNERS, FAR_OWNERS = ("one", "two"), ("far",)
NEAR_HANDS, FAR_HANDS = ("hand", "other-hand"), ("far-hand",)
LEASE = 3.0


@pytest.fixture
async def cable(server: RealServer) -> AsyncIterator[Cable]:
    async with Cable(server.port) as cable:
        yield cable


async def test_30_a_third_of_the_mesh_is_cut_off(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh, cable: Cable
) -> None:
    """a third of the mesh (owners and agents) is cut off in silence, and comes back · jobs go on with the others, nothing is done twice, it heals"""
    await fleet.start(*NEAR_OWNERS)
    await fleet.start(*FAR_OWNERS, url=cable.url)
    await fleet.start(*NEAR_HANDS, works=True, drives=False)
    await fleet.start(*FAR_HANDS, works=True, drives=False, url=cable.url)
    hands, owners = (*NEAR_HANDS, *FAR_HANDS), (*NEAR_OWNERS, *FAR_OWNERS)
    await _there(mesh, hands, owners)
    healed: list[float] = []
    cuts = chaos.pick(1, 6)
    async with under_load(fleet, mesh, at_once=chaos.pick(4, 8), pause=chaos.pick(0.3, 0.1)):
        for number in range(cuts):
            await asyncio.sleep(chaos.chance.uniform(0.2, 1.0))
            cable.sever()
            fleet.doom.died("far", "cut off")
            await _there(mesh, NEAR_HANDS, NEAR_OWNERS)
            job = await fleet.hand_in(mesh, acts(4, how="call"))
            assert (await job.watch(timeout=60)).status == "completed", "the others do what comes in meanwhile"
            await asyncio.sleep(chaos.chance.uniform(0, chaos.pick(0.5, 2 * LEASE)))
            began = time.time()
            (cable.mend if number % 2 == 0 else cable.cut)()
            await _there(mesh, hands, owners)
            asked = Asked(f"probe-{number}", Act(key="healed"))
            await soon(lambda asked=asked: mesh.ask("hand.far-hand", asked), 60)
            healed.append(time.time() - began)
    await fleet.over(mesh, within=120)
    done = f"{cuts} times two of six processes cut off for longer than a lease"
    await chaos.conclude(
        fleet, server.url, done, "the others went on, nothing twice, healed", recovery=f"healed: {spread(healed)}"
    )
    assert not fleet.mishaps(*owners, *hands)


async def _there(mesh: Mesh, hands: tuple[str, ...], owners: tuple[str, ...]) -> None:
    """Until exactly these are listed."""
    await listed(mesh, *hands, agent="hand", within=60)
    await listed(mesh, *owners, agent="jobs", within=60)
