"""Owners that stand still for longer than their lease, and go on as if nothing had been."""

from __future__ import annotations

import time

import pytest

from mesh.client.mesh import Mesh
from mesh.testing.virtual_time import until
from tests.chaos.fleet import Fleet
from tests.chaos.plans import Act
from tests.chaos.scenario import Scenario, until_owned
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]


async def test_05_the_owner_is_frozen_and_goes_on(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """SIGSTOP the owner 30 s, then resume · its append is refused, and it starts no new effect"""
    seconds = chaos.pick(4.0, 30.0)
    await fleet.start("frozen")
    plan = [Act(key="first"), Act(key="second", hold="second"), Act(key="third", hold="third"), Act(key="fourth")]
    jobs = [await fleet.hand_in(mesh, plan) for _ in range(chaos.pick(4, 16))]
    await until(lambda: all(fleet.ledger.asked(f"{job.id}/second") for job in jobs))
    await fleet.start("other")
    await fleet.freeze("frozen")
    fleet.doom.died("frozen", "frozen")
    began = time.monotonic()
    for job in jobs:
        await until_owned(mesh, job.id, by="other")
    fleet.let("second")
    await until(lambda: all(fleet.ledger.asked(f"{job.id}/third") for job in jobs))
    await mesh.peer.clock.sleep(max(0.0, seconds - (time.monotonic() - began)))
    thawed = time.time()
    fleet.thaw("frozen")
    await until(
        lambda: all(f"job {job.id}: job {job.id} is running, owner other" in fleet.log("frozen") for job in jobs)
    )
    fleet.let("third")
    await fleet.over(mesh, within=150)
    await chaos.conclude(
        fleet, server.url, f"{len(jobs)} jobs' owner frozen for {seconds:g} s", "its appends were refused"
    )
    late = [each for each in fleet.ledger.requests() if each.pid == fleet.pid("frozen") and each.at >= thawed]
    assert late == []
    assert not fleet.mishaps("frozen", "other")
