"""Messages that kill whoever handles them: a command, a durable event, a step of a job."""

from __future__ import annotations

import msgspec
import pytest

from mesh.actors.events.reactions import LOST
from mesh.client.mesh import Mesh
from mesh.protocols.dead_letters import DeadLetter
from mesh.protocols.errors import MeshError
from mesh.testing.virtual_time import until
from tests.chaos.crowd import Crowd
from tests.chaos.fleet import Fleet
from tests.chaos.load import under_load
from tests.chaos.plans import Act
from tests.chaos.scenario import Scenario
from tests.chaos.station import FATAL
from tests.faults.expectations import listed, passes, soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

HANDS = ("one", "two", "three")
MOST_DEATHS = 4
"""Attempts at one message: each may cost a process."""
STEP_DEATHS = 16
"""Four winners, three times over (`mesh/jobs/steps/awarding.py`), and some that come back in time to hear of it again."""
SETTLED_WITHIN = 60.0


async def test_25_a_command_kills_whoever_handles_it(chaos: Scenario, crowd: Crowd, mesh: Mesh) -> None:
    """a command that kills its process, asked for and awarded · it is tried so often and no more, the others are served"""
    times = chaos.pick(1, 10)
    await crowd.start(*HANDS)
    await listed(mesh, *HANDS, agent="target")
    async with crowd.raised_again(*HANDS):
        for speak in (mesh.ask, mesh.call) * times:
            before = crowd.deaths
            with pytest.raises(MeshError):
                await speak("target.die", timeout=20)
            assert crowd.deaths - before <= MOST_DEATHS, f"{speak.__name__}: {crowd.deaths - before} deaths"
            await listed(mesh, *HANDS, agent="target")
            assert await soon(lambda: mesh.ask("target.do"), SETTLED_WITHIN) in HANDS
    assert crowd.deaths >= 2
    chaos.note(f"{2 * times} commands, {crowd.deaths} deaths", f"at most {MOST_DEATHS} deaths each, others served", "–")


async def test_25_an_event_kills_whoever_hears_it(chaos: Scenario, crowd: Crowd, mesh: Mesh) -> None:
    """a durable event that kills its process each time · it is dead-lettered after so many, and no other event with it"""
    fatal, others = chaos.pick(1, 3), chaos.pick(20, 300)
    await crowd.start("one", "two", roles=("listener",))
    async with crowd.raised_again("one", "two"):
        for number in range(others):
            if number % (others // fatal) == 0:
                await mesh.emit("said.kept", FATAL)
            await mesh.emit("said.kept", str(number))
        await until(lambda: _heard(crowd) >= {f"kept-{number}" for number in range(others)}, timeout=SETTLED_WITHIN)
        found = await _letters(mesh, fatal, 5 * SETTLED_WITHIN)
    assert len(found) == fatal
    assert {each.reason.code for each in found} == {"agent-lost"}
    assert all(each.data().count(FATAL.encode()) for each in found)
    assert crowd.deaths <= LOST * fatal + fatal
    chaos.note(f"{fatal} fatal events among {others}, {crowd.deaths} deaths", "dead letters, all others handled", "–")


async def test_25_a_step_kills_whoever_does_it(chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh) -> None:
    """a step that kills the agent it is awarded to · its job fails or is put away, the others are done"""
    poisons = chaos.pick(1, 4)
    hands = tuple(f"hand-{number}" for number in range(2 * MOST_DEATHS))
    await fleet.start("owner")
    await fleet.start(*hands, works=True, drives=False)
    poison = []
    async with fleet.raised_again(*hands), under_load(fleet, mesh, pause=0.1):
        for _ in range(poisons):
            plan = [Act(key="first"), Act(key="poison", how="call", fatal=True)]
            poison.append(await fleet.hand_in(mesh, plan, result=[]))
            await poison[-1].watch(timeout=60)
    await fleet.over(mesh, within=150)
    ended = {each.id: (await each.state()).status for each in poison}
    done = f"{len(fleet.doom.deaths)} agents dead of {poisons} jobs"
    fleet.handed = [each for each in fleet.handed if each.job not in ended]
    await chaos.conclude(fleet, server.url, done, "bounded, the others done")
    assert set(ended.values()) <= {"failed", "dead_lettered"}
    assert len(fleet.doom.deaths) <= STEP_DEATHS * poisons
    assert [fleet.ledger.count(f"{job}/poison") for job in ended] == [0] * poisons


def _heard(crowd: Crowd) -> set[str]:
    return {each.what for name in ("one", "two") for each in crowd.books(name).read()}


async def _letters(mesh: Mesh, count: int, within: float) -> list[DeadLetter]:
    """The dead letters, once there are so many."""
    stream = mesh.peer.subjects.stream("DLQ")

    async def read() -> list[DeadLetter]:
        return [msgspec.json.decode(each.data, type=DeadLetter) for each in await mesh.peer.store.read(stream, ">")]

    return await passes(lambda: soon(read, within), lambda found: len(found) >= count, within=within, every=0.2)
