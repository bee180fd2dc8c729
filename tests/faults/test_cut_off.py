"""A process is cut off from the server in silence: it runs on, connected to nothing, and does not know it.

Faults: the cable between an agent, a job's owner or a caller and the server is severed while they work, and mended: what was on
its way arrives late, from somebody who was long given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.errors import DeadlineExceeded, MeshError
from tests.faults.cable import Cable
from tests.faults.crew import Crew
from tests.faults.expectations import elapsed_since, joined, listed, soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]


@pytest.fixture
async def cable(server: RealServer) -> AsyncIterator[Cable]:
    async with Cable(server.port) as cable:
        yield cable


async def test_the_work_of_an_agent_that_is_cut_off_is_done_elsewhere_and_it_comes_back(
    crew: Crew, mesh: Mesh, cable: Cable
) -> None:
    await crew.start("far", url=cable.url)
    await listed(mesh, "far")
    called = asyncio.ensure_future(mesh.call("work.hold", "held"))
    asked = asyncio.ensure_future(mesh.ask("worker.far", "held", command="hold", timeout=50))
    await crew.did("begun-held")
    await crew.start("near")
    cable.sever()
    await listed(mesh, "near", within=20)  # by its lease: the server's own pings would take thirty seconds
    with pytest.raises(MeshError):
        await asked
    crew.let("held")
    assert await called == "near"
    cable.mend()
    await listed(mesh, "far", "near")
    assert await soon(lambda: mesh.ask("worker.far", "x", command="echo")) == ["far", "x"]
    assert not crew.mishaps("far", "near")


async def test_an_owner_that_is_cut_off_is_replaced_and_adds_nothing_when_it_is_back(
    crew: Crew, mesh: Mesh, cable: Cable
) -> None:
    await crew.start("far", url=cable.url, agents=(), workflow=True)
    await crew.start("worker")
    await listed(mesh, "far", agent="jobs")
    await listed(mesh, "worker")
    job = await mesh.submit("walk", ["first", "second"])
    await crew.did("begun-first")
    await crew.start("near", agents=(), workflow=True)
    cable.sever()
    await listed(mesh, "near", agent="jobs")
    crew.let("first", "second")
    result = await job.result(40)
    cable.mend()
    await listed(mesh, "far", "near", agent="jobs")
    state = await job.state()
    assert (state.status, [each.process for each in state.claims]) == ("completed", ["far", "near"])
    assert await job.result(30) == result == ["far", "worker", "worker"]
    assert [len(crew.effects(each)) for each in ("step", "done-first", "done-second")] == [1, 1, 1]
    again = await mesh.submit("walk", [])
    assert len(await again.result(30)) == 1


async def test_a_caller_that_is_cut_off_waits_no_longer_than_its_deadlines(crew: Crew, cable: Cable) -> None:
    await crew.start("one")
    async with joined(cable.url, "far") as far:
        await listed(far, "one")
        cable.sever()
        elapsed = elapsed_since(far)
        for attempt in (far.ask, far.call):
            with pytest.raises(MeshError):
                await attempt("work.hold", "x", timeout=0.7)
        with pytest.raises(DeadlineExceeded):
            await far.ask("worker", "x", command="hold", timeout=0.2)
        assert elapsed() < 45, "far less than the fifty seconds of each command itself"
        cable.mend()
        assert await soon(lambda: far.ask("work.echo", "x")) == ["one", "x"]
