"""Agents are killed while they hold work, or while somebody looks.

Faults: SIGKILL of an agent that was asked through another, of the winner of a subcontract and of a step, of a streaming agent,
of all of them, of a job's owner together with the winner of its step; a look at the registry in the moment after.
"""

from __future__ import annotations

import asyncio

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.errors import AgentLost, MeshError, NoBids, NoResponders, UnknownAgent
from mesh.protocols.job_state import JobState
from tests.faults.crew import Crew
from tests.faults.expectations import elapsed_since, joined, listed, processes_of
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

AT_ONCE = 30.0
"""Seconds: generous for a machine that is busy, and far from every deadline here."""
DEADLINE = 40.0


async def test_who_asked_through_another_agent_hears_of_a_death_at_once(crew: Crew, mesh: Mesh) -> None:
    await crew.start("one")
    await crew.start("boss", agents=("foreman",))
    await listed(mesh, "one")
    await listed(mesh, "boss", agent="foreman")
    asked = asyncio.ensure_future(mesh.ask("foreman.ask", "held", timeout=DEADLINE))
    await crew.did("begun-held")
    elapsed = elapsed_since(mesh)
    crew.kill("one")
    with pytest.raises(AgentLost):
        await asked
    assert elapsed() < AT_ONCE


async def test_a_subcontract_whose_winner_is_killed_is_given_to_another(crew: Crew, mesh: Mesh) -> None:
    await crew.start("one", "two")
    await crew.start("boss", agents=("foreman",))
    await listed(mesh, "one", "two")
    await listed(mesh, "boss", agent="foreman")
    asked = asyncio.ensure_future(mesh.call("foreman.subcontract", "held", timeout=DEADLINE))
    [winner] = await crew.did("begun-held")
    elapsed = elapsed_since(mesh)
    crew.kill(winner)
    await crew.did("begun-held", 2)
    assert elapsed() < AT_ONCE
    crew.let("held")
    assert await asked == ({"one", "two"} - {winner}).pop()


async def test_a_stream_of_a_killed_agent_ends_at_once(crew: Crew, mesh: Mesh) -> None:
    await crew.start("one")
    await listed(mesh, "one")
    items = mesh.stream("worker", {"to": 2, "name": "held"}, command="count", timeout=DEADLINE)
    assert [await anext(items), await anext(items)] == [0, 1]
    elapsed = elapsed_since(mesh)
    crew.kill("one")
    with pytest.raises(AgentLost):
        await anext(items)
    assert elapsed() < AT_ONCE


async def test_when_all_are_dead_that_is_said_at_once(crew: Crew, mesh: Mesh) -> None:
    await crew.start("one", "two")
    await listed(mesh, "one", "two")
    crew.kill("one")
    crew.kill("two")
    elapsed = elapsed_since(mesh)
    with pytest.raises((NoResponders, UnknownAgent, AgentLost)):
        await mesh.ask("work.echo", "x")
    with pytest.raises(NoBids):
        await mesh.call("work.echo", "x", mode="broadcast")
    with pytest.raises(NoBids):
        await mesh.call("work.echo", "x")
    assert elapsed() < AT_ONCE


async def test_a_listing_right_after_a_kill_shows_no_corpse_even_if_nobody_watched(
    server: RealServer, crew: Crew
) -> None:
    await crew.start("one", "two", "three", agents=("worker", "foreman"))
    left = {"one", "two", "three"}
    for name in ("one", "two"):
        crew.kill(name)
        left.discard(name)
        async with joined(server.url, "newcomer") as newcomer:
            assert processes_of(newcomer) == processes_of(newcomer, "foreman") == sorted(left)
            assert {each.process for each in newcomer.directory.processes()} == left


async def test_killing_the_owner_and_its_winner_together_loses_no_job_and_does_no_ended_step_twice(
    crew: Crew, mesh: Mesh
) -> None:
    await crew.start("one", "two", workflow=True)
    await listed(mesh, "one", "two")
    await listed(mesh, "one", "two", agent="jobs")
    job = await mesh.submit("walk", ["first", "second"])
    crew.let("first")
    await crew.did("begun-second")
    state = await job.state()
    assert state.head is not None
    doomed = {state.head.owner, crew.effects("begun-second")[0]}
    if len(doomed) == 2:
        await crew.start("three", workflow=True)
        await listed(mesh, "one", "two", "three")
    for name in doomed:
        crew.kill(name)
    crew.let("second")
    result = await job.result(40)
    assert len(crew.effects("step")) == len(crew.effects("done-first")) == len(crew.effects("done-second")) == 1
    assert result == [*crew.effects("step"), *crew.effects("done-first"), *crew.effects("done-second")]
    assert result[-1] not in doomed


async def test_a_step_whose_winner_is_killed_is_done_by_another_and_the_ledger_says_why(crew: Crew, mesh: Mesh) -> None:
    await crew.start("one", "two")
    await crew.start("owner", agents=(), workflow=True)
    await listed(mesh, "one", "two")
    job = await mesh.submit("walk", ["held"])
    [winner] = await crew.did("begun-held")
    crew.kill(winner)
    crew.let("held")
    other = ({"one", "two"} - {winner}).pop()
    assert (await job.result(40))[1:] == [other]
    state: JobState = await job.state()
    awards = state.steps["held"].awards
    assert [each.winner.partition(".")[0] for each in awards][-2:] == [winner, other]
    assert all(each.reason for each in awards)
    assert state.epoch == 1


async def test_an_error_of_a_killed_agent_says_who_and_that_it_may_be_tried_again(crew: Crew, mesh: Mesh) -> None:
    await crew.start("one")
    await listed(mesh, "one")
    asked = asyncio.ensure_future(mesh.ask("worker", "held", command="hold"))
    await crew.did("begun-held")
    crew.kill("one")
    with pytest.raises(MeshError, match="one") as caught:
        await asked
    assert (caught.value.code, caught.value.error_class) == ("agent-lost", "transient")
