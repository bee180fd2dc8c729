"""Owners die while a job is being undone."""

from __future__ import annotations

import pytest

from mesh.client.mesh import Mesh
from mesh.testing.virtual_time import until
from tests.chaos.fleet import Fleet
from tests.chaos.plans import UNDO, Act
from tests.chaos.scenario import Scenario
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

OWNERS = ("one", "two", "three")
POINTS = (
    "after comp.started",
    "before undo",
    "after undo",
    "before comp.succeeded",
    "after comp.succeeded",
    "before compensated",
)


async def test_17_a_saga_is_killed_during_compensation(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """kill -9 the owner at each point of a compensation · each step is undone once, the last one first"""
    await fleet.start(*OWNERS)
    await fleet.start("hand", works=True, drives=False)
    plan = [Act(key="a"), Act(key="b", how="call"), Act(key="c"), Act(key="d")]
    async with fleet.raised_again(*OWNERS):
        for _ in range(chaos.pick(1, 8)):
            for point in POINTS:
                for owner in OWNERS:
                    await until(lambda owner=owner: fleet.alive(owner))
                    fleet.doom.write(point, process=owner)
                await fleet.hand_in(mesh, plan, workflow="saga")
                await until(lambda: fleet.doom.left() < len(OWNERS), timeout=60)
                fleet.doom.withdraw()
                await fleet.over(mesh, within=150)
    done = f"{len(fleet.doom.deaths)} owners killed in {len(fleet.handed)} jobs"
    await chaos.conclude(fleet, server.url, done, "undone once, in reverse order", states=("compensated",))
    order = [each.key for each in fleet.ledger.effects()]
    for handed in fleet.handed:
        mine = [key.removeprefix(f"{handed.job}/") for key in order if key.startswith(f"{handed.job}/")]
        assert mine == ["a", "b", "c", "d", *(f"{key}{UNDO}" for key in "dcba")]
