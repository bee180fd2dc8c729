"""Owners die under load, for as long as somebody wants to watch."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from mesh.client.mesh import Mesh
from tests.chaos.fleet import Fleet
from tests.chaos.load import under_load
from tests.chaos.scenario import Scenario
from tests.faults.expectations import joined
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

OWNERS = ("one", "two", "three", "four")
A_ROUND = 100
"""Owners killed before the checker looks, and a fresh server is taken."""


async def test_20_owners_are_killed_under_load(chaos: Scenario, tmp_path: Path) -> None:
    """kill -9 of 1,000 owners under load (`make soak`; fewer elsewhere) · what was acknowledged is done, each effect once"""
    left = {"quick": 2, "full": 60, "soak": 1000}[chaos.size]
    end = time.monotonic() + (_seconds(os.environ.get("DURATION") or "0") if chaos.size == "soak" else 0)
    number = 0
    while left > 0 or time.monotonic() < end:
        number += 1
        kills = min(left, A_ROUND) if left > 0 else A_ROUND
        left -= kills
        await _round(chaos, tmp_path / f"round-{number}", kills)


async def _round(chaos: Scenario, folder: Path, kills: int) -> None:
    with RealServer(folder / "server") as server:
        fleet = Fleet(server.url, folder, chaos.chance)
        try:
            await fleet.start(*OWNERS)
            await fleet.start("hand", works=True, drives=False)
            async with joined(server.url, "client") as mesh:
                await _kill_under_load(chaos, fleet, mesh, kills)
            await chaos.conclude(fleet, server.url, f"{kills} owners killed under load", "all done, each effect once")
        finally:
            fleet.end()


async def _kill_under_load(chaos: Scenario, fleet: Fleet, mesh: Mesh, kills: int) -> None:
    async with fleet.raised_again(*OWNERS):
        async with under_load(fleet, mesh, pause=0.2):
            for _ in range(kills):
                await asyncio.sleep(chaos.chance.uniform(0.2, chaos.pick(0.6, 2.0)))
                victims = fleet.living(*OWNERS)
                if victims:
                    fleet.kill(chaos.chance.choice(victims))
        await fleet.over(mesh, within=120)


def _seconds(words: str) -> float:
    """`90`, `30m`, `2h`."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(words[-1:])
    return float(words[:-1]) * unit if unit else float(words)
