"""Agents are frozen, slow, or asked for more than they can do.

Faults: SIGSTOP before an ask, before an award and while work runs, and SIGCONT; work that outlasts its deadline; more asks than
a mailbox holds; more calls than there is capacity, from several callers at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from mesh.client.mesh import Mesh
from mesh.jobs.outside.submission import JobHandle
from mesh.protocols.errors import DeadlineExceeded, MeshError, Overloaded
from mesh.protocols.job_state import JobState
from mesh.testing.virtual_time import until
from tests.faults.crew import Crew
from tests.faults.expectations import elapsed_since, joined, listed, outcomes, soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]


def room(mesh: Mesh, key: str) -> int | None:
    """How much more an instance bids for."""
    listing = mesh.directory.listing(key)
    bid = listing.figures.bids.get("work.hold") if listing else None
    return bid.capacity if bid else None


async def until_awarded(job: JobHandle, step: str, winner: str) -> None:
    """Until the job's ledger has an award of the step to this instance."""
    state = JobState()
    async with asyncio.timeout(30):
        async for _ in job.follow(state):
            if step in state.steps and any(each.winner == winner for each in state.steps[step].awards):
                return


async def test_an_ask_of_a_frozen_agent_ends_at_its_deadline_and_it_serves_again_when_it_thaws(
    crew: Crew, mesh: Mesh
) -> None:
    await crew.start("one")
    await listed(mesh, "one")
    await crew.freeze("one")
    elapsed = elapsed_since(mesh)
    with pytest.raises(DeadlineExceeded):
        await mesh.ask("worker.one", "late", command="hold", timeout=0.7)
    assert 0.7 <= elapsed() < 40
    crew.thaw("one")
    assert (await soon(lambda: mesh.ask("work.echo", "x")))[0] == "one"
    await listed(mesh, "one")
    crew.let("late")
    assert not crew.effects("done-late"), "what nobody waits for any more was done all the same"


async def test_an_award_to_a_frozen_agent_goes_elsewhere_within_the_probe_time_and_is_never_begun_there(
    crew: Crew, mesh: Mesh
) -> None:
    await crew.start("one", "two")
    await crew.start("owner", agents=(), workflow=True)
    await listed(mesh, "one", "two")
    busy = [asyncio.ensure_future(mesh.ask("worker.two", "busy", command="hold")) for _ in range(2)]
    await until(lambda: room(mesh, "two.worker.two") == 0)
    await crew.freeze("one")
    job = await mesh.submit("walk", ["held"])
    await until_awarded(job, "held", "one.worker.one")
    elapsed = elapsed_since(mesh)
    crew.let("busy", "held")
    assert (await job.result(40))[1:] == ["two"]
    assert elapsed() < 40, "far less than the step's own fifty seconds"
    assert await asyncio.gather(*busy) == ["two", "two"]
    crew.thaw("one")
    await listed(mesh, "one", "two")
    await soon(lambda: mesh.ask("worker.one", "x", command="echo"))
    assert crew.effects("begun-held") == ["two"], "the award was cancelled while its first winner was frozen"


async def test_a_step_whose_winner_freezes_while_it_works_is_done_elsewhere_and_counted_once(
    crew: Crew, mesh: Mesh
) -> None:
    await crew.start("one", "two")
    await crew.start("owner", agents=(), workflow=True)
    await listed(mesh, "one", "two")
    job = await mesh.submit("walk", ["held"])
    [winner] = await crew.did("begun-held")
    await crew.freeze(winner)
    crew.let("held")
    other = ({"one", "two"} - {winner}).pop()
    assert (await job.result(40))[1:] == [other]
    crew.thaw(winner)
    await soon(lambda: mesh.ask(f"worker.{winner}", "x", command="echo"))
    assert (await job.result(30))[1:] == [other]


async def test_work_that_outlasts_its_deadline_is_stopped_on_both_sides(crew: Crew, mesh: Mesh) -> None:
    await crew.start("one")
    await listed(mesh, "one")
    asked = asyncio.ensure_future(mesh.ask("worker", "slow", command="hold", timeout=0.5))
    with pytest.raises(DeadlineExceeded):
        await asked
    assert (await mesh.ask("work.echo", "next"))[1] == "next"
    crew.let("slow")
    assert (await mesh.ask("work.echo", "next"))[1] == "next"
    assert not crew.effects("done-slow")


async def test_a_full_agent_says_overloaded_and_when_to_come_back(crew: Crew, mesh: Mesh) -> None:
    await crew.start("one", mailbox=4)
    await listed(mesh, "one")
    held = [asyncio.ensure_future(mesh.ask("worker", "held", command="hold"))]
    await crew.did("begun-held")
    held += [asyncio.ensure_future(mesh.ask("worker", "held", command="hold")) for _ in range(10)]
    await until(lambda: sum(each.done() for each in held) == 6)
    for refused in [each.exception() for each in held if each.done()]:
        assert isinstance(refused, Overloaded)
        assert refused.retry_after is not None
        assert refused.retry_after > 0
    crew.let("held")
    assert await asyncio.gather(*(each for each in held if not each.done())) == ["one"] * 5


async def test_calls_of_several_callers_are_spread_and_no_agent_has_more_than_its_capacity(
    server: RealServer, crew: Crew, mesh: Mesh
) -> None:
    await crew.start("one", "two", "three", capacity=2)
    await listed(mesh, "one", "two", "three")
    async with joined(server.url, "other") as other:
        await listed(other, "one", "two", "three")
        first = [asyncio.ensure_future(each.call("work.hold", "first")) for each in (mesh, other) for _ in range(3)]
        await crew.did("begun-first", 4)
        more = [asyncio.ensure_future(each.call("work.hold", "more")) for each in (mesh, other) for _ in range(6)]
        crew.let("first", "more")
        assert len(await asyncio.gather(*first, *more)) == 18
    running: Counter[str] = Counter()
    for what, process in crew.lines():
        running[process] += 1 if what.startswith("begun") else -1
        assert running[process] <= 2
    assert set(running) == {"one", "two", "three"}


async def test_what_is_too_much_for_everybody_is_refused_with_a_type_and_harms_nothing(crew: Crew, mesh: Mesh) -> None:
    await crew.start("one", mailbox=4)
    await listed(mesh, "one")
    calls = [asyncio.ensure_future(mesh.call("work.hold", "held", timeout=1.5)) for _ in range(40)]
    asks = [asyncio.ensure_future(mesh.ask("worker", "held", command="hold", timeout=1.5)) for _ in range(40)]
    found = await outcomes(calls + asks)
    assert all(isinstance(each, MeshError) for each in found)
    crew.let("held")
    assert await soon(lambda: mesh.call("work.hold", "held")) == "one", "its breaker lets nothing through any more"
