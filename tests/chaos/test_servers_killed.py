"""The server dies by SIGKILL, again and again, while jobs come in and are driven."""

from __future__ import annotations

import asyncio
import time

import pytest

from mesh.client.mesh import Mesh
from tests.chaos.fleet import Fleet
from tests.chaos.plans import acts
from tests.chaos.scenario import Scenario
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]


async def test_08_the_server_is_killed_every_few_seconds_under_load(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """kill -9 the server every few seconds under load · what was acknowledged is there, and every job goes on"""
    kills = chaos.pick(2, 30)
    await fleet.start("one", "two")
    await fleet.start("hand", works=True, drives=False)
    stop = asyncio.Event()
    load = asyncio.ensure_future(_load(fleet, mesh, stop))
    back: list[float] = []
    for _ in range(kills):
        await asyncio.sleep(chaos.pick(0.7, 1) * chaos.chance.uniform(1, 3))
        server.kill()
        await asyncio.sleep(chaos.chance.uniform(0, 1))
        await asyncio.to_thread(server.start)
        back.append(time.time())
    stop.set()
    await load
    await fleet.over(mesh, within=60)
    await chaos.conclude(
        fleet, server.url, f"server killed {kills} times", "every acknowledged event is there", since=back
    )
    assert not fleet.mishaps("one", "two", "hand")


async def _load(fleet: Fleet, mesh: Mesh, stop: asyncio.Event) -> None:
    """Jobs of steps here and steps elsewhere, eight at a time, until it is enough."""
    while not stop.is_set():
        here = fleet.chance.random() < 0.5
        plan = acts(4, how="here" if here else "call", ms=fleet.chance.randrange(30))
        await fleet.hand_in_all(mesh, 8, plan, at_once=8)
