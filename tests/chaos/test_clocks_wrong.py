"""One peer's wall clock is ten minutes off, and jumps."""

from __future__ import annotations

import asyncio
import signal

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.errors import DeadlineExceeded
from mesh.testing.virtual_time import until
from tests.chaos.fleet import Fleet
from tests.chaos.plans import Act, acts
from tests.chaos.scenario import Scenario
from tests.faults.expectations import elapsed_since
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

TEN_MINUTES = 600.0
DEADLINE = 300.0
"""Seconds: more than a busy machine needs, and less than a clock is wrong by."""


async def test_13_a_peers_clock_is_wrong(chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh) -> None:
    """clock ten minutes ahead on one peer, behind on another, and jumping · nothing expires early, no job has two owners"""
    await fleet.start("right")
    await fleet.start("ahead", shift=TEN_MINUTES, jump=-2 * TEN_MINUTES)
    await fleet.start("behind", shift=-TEN_MINUTES, jump=2 * TEN_MINUTES)
    names = ("right", "ahead", "behind")
    kills = chaos.pick(2, 30)
    async with fleet.raised_again(*names):
        loading = asyncio.ensure_future(
            fleet.hand_in_all(mesh, chaos.pick(40, 600), acts(4, ms=50), deadline=DEADLINE, at_once=12)
        )
        for _ in range(kills):
            await asyncio.sleep(chaos.chance.uniform(0.1, 0.6))
            for name in fleet.living("ahead", "behind"):
                if await _is_ready(fleet, name):
                    fleet.signal(name, signal.SIGUSR1)
            await asyncio.sleep(chaos.chance.uniform(0.1, 0.6))
            fleet.kill(chaos.chance.choice(fleet.living(*names) or ["right"]))
        await loading
        await fleet.over(mesh, within=150)
        elapsed = elapsed_since(mesh)
        late = await fleet.hand_in(mesh, [Act(key="held", hold="never")], deadline=1.5)
        with pytest.raises(DeadlineExceeded):
            await late.result(60)
        assert 1.2 < elapsed() < 55
    done = f"clocks ±10 min, jumping, {kills} owners killed"
    await chaos.conclude(fleet, server.url, done, "only what was late expired", states=("completed", "failed"))
    failed = [each.job for each in fleet.handed if (await mesh.job(each.job).state()).status == "failed"]
    assert failed == [late.id]


async def _is_ready(fleet: Fleet, name: str) -> bool:
    """A process that is only just starting would die of the signal."""
    ready = fleet.folder / f"{name}.ready"
    await until(lambda: ready.exists() or not fleet.alive(name), timeout=60)
    return fleet.alive(name) and ready.read_text() == str(fleet.pid(name))
