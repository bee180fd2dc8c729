"""A job that nobody survives."""

from __future__ import annotations

import msgspec
import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.dead_letters import DeadLetter
from tests.chaos.fleet import Fleet
from tests.chaos.plans import Act, acts
from tests.chaos.scenario import Scenario
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

OWNERS = ("one", "two", "three")


async def test_18_a_job_kills_whoever_drives_it(chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh) -> None:
    """a poison job · it is put away with a dead letter after so many owners, and the other jobs are done"""
    await fleet.start(*OWNERS, at_once=4)
    poisons = chaos.pick(1, 4)
    async with fleet.raised_again(*OWNERS):
        poison = [await fleet.hand_in(mesh, [Act(key="first"), Act(key="poison", fatal=True)]) for _ in range(poisons)]
        await fleet.hand_in_all(mesh, chaos.pick(8, 60), acts(3, ms=20))
        await fleet.over(mesh, within=300)
    states = {each.id: (await each.state()).status for each in poison}
    assert set(states.values()) == {"dead_lettered"}
    done = f"{len(fleet.doom.deaths)} owners dead of {poisons} jobs"
    evidence = await chaos.conclude(
        fleet, server.url, done, "put away, the others done", states=("completed", "dead_lettered")
    )
    letters = [msgspec.json.decode(each.data, type=DeadLetter) for each in evidence.letters]
    assert sorted(each.job for each in letters) == sorted(states)
    assert [fleet.ledger.count(f"{job}/poison") for job in states] == [0] * poisons
