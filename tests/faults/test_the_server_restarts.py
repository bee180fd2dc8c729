"""The server is killed, frozen or away for long, in the middle of everything.

Faults: SIGKILL of nats-server and its start again on the same store; an outage longer than a lease; SIGSTOP; a restart under
a stream, a subcontract and a job.
"""

from __future__ import annotations

import asyncio

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.errors import MeshError
from mesh.testing.virtual_time import until
from tests.faults.crew import Crew, stopped
from tests.faults.expectations import elapsed_since, joined, listed, outcomes, soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]


async def test_everything_goes_on_after_the_server_was_killed_in_the_middle_of_it(
    server: RealServer, crew: Crew, mesh: Mesh
) -> None:
    await crew.start("one", "two", "boss", agents=("worker",), capacity=4, workflow=True)
    await listed(mesh, "one", "two", "boss")
    heard: list[str] = []
    await mesh.subscribe(lambda event: heard.append(event.payload))
    job = await mesh.submit("walk", ["first", "second"])
    asks = [asyncio.ensure_future(mesh.ask("worker", "asked", command="hold", timeout=12)) for _ in range(6)]
    await crew.did("begun-asked", 6)
    await crew.did("begun-first")

    await asyncio.to_thread(server.restart)
    crew.let("asked", "first", "second")

    found = await outcomes(asks)
    assert all(each in ("one", "two", "boss") or isinstance(each, MeshError) for each in found), found
    result = await job.result(40)
    assert result[1:] == [crew.effects("done-first")[-1], crew.effects("done-second")[-1]]
    assert len(crew.effects("step")) == 1
    await listed(mesh, "one", "two", "boss")
    assert (await soon(lambda: mesh.ask("work.echo", "rpc")))[1] == "rpc"
    assert (await soon(lambda: mesh.call("work.echo", "cfp", mode="broadcast")))[1] == "cfp"
    await soon(lambda: mesh.emit("shop.opened", "again"))
    await until(lambda: heard == ["again"])
    async with joined(server.url, "newcomer") as newcomer:
        await listed(newcomer, "one", "two", "boss")


async def test_agents_hear_events_again_and_the_durable_ones_of_meanwhile(
    server: RealServer, crew: Crew, mesh: Mesh
) -> None:
    await crew.start("one", agents=("worker", "foreman"))
    await listed(mesh, "one")

    async def tell(name: str) -> None:
        lineage = mesh.peer.root
        await soon(lambda: mesh.peer.events.emit("shop.opened", name, lineage))
        await soon(lambda: mesh.peer.events.emit("shop.closed", name, lineage))

    await tell("before")
    await crew.did("heard-before")
    await crew.freeze("one")
    await tell("meanwhile")
    await asyncio.to_thread(server.restart)
    crew.thaw("one")
    assert await crew.did("kept-meanwhile") == ["one"]
    await soon(lambda: mesh.ask("worker.one", "x", command="echo"))
    await tell("after")
    assert await crew.did("heard-after") == ["one"]
    assert await crew.did("kept-after") == ["one"]


async def test_what_waits_for_an_answer_never_waits_longer_than_its_deadline(
    server: RealServer, crew: Crew, mesh: Mesh
) -> None:
    await crew.start("one", capacity=8, agents=("worker", "foreman"))
    await listed(mesh, "one")
    elapsed = elapsed_since(mesh)
    asked = asyncio.ensure_future(mesh.ask("worker", "a", command="hold", timeout=10.0))
    called = asyncio.ensure_future(mesh.call("work.hold", "b", timeout=10.0))
    subcontracted = asyncio.ensure_future(mesh.ask("foreman.subcontract", "c", timeout=10.0))
    stream = mesh.stream("worker", {"to": 1, "name": "d"}, command="count", timeout=10.0)
    assert await anext(stream) == 0
    await asyncio.gather(*(crew.did(f"begun-{name}") for name in "abcd"))
    server.kill()
    found = await outcomes([asked, called, subcontracted, anext(stream)])
    assert [type(each).__mro__[-4] for each in found] == [MeshError] * 4, found
    assert elapsed() < 45, "far less than the fifty seconds of each command itself"
    await asyncio.to_thread(server.start)
    crew.let(*"abcd")
    assert (await soon(lambda: mesh.ask("work.echo", "x")))[1] == "x"


async def test_an_outage_longer_than_a_lease_costs_nobody_its_place(server: RealServer, crew: Crew, mesh: Mesh) -> None:
    await crew.start("one", "two")
    await listed(mesh, "one", "two")
    gone: list[str] = []
    mesh.directory.on_change(lambda change: gone.append(change.process) if change.kind == "process-down" else None)
    server.kill()
    crew.kill("two")
    with pytest.raises(MeshError):
        await mesh.ask("work.echo", "x", timeout=3.5)
    await asyncio.to_thread(server.start)
    assert (await soon(lambda: mesh.ask("worker.one", "x", command="echo")))[1] == "x"
    await listed(mesh, "one")
    assert "one" not in gone


async def test_a_server_that_hangs_and_goes_on_ends_nothing(server: RealServer, crew: Crew, mesh: Mesh) -> None:
    await crew.start("one", "two")
    await listed(mesh, "one", "two")
    asked = asyncio.ensure_future(mesh.ask("worker", "held", command="hold", timeout=40))
    await crew.did("begun-held")
    server.freeze()
    await stopped(server.pid)
    try:
        with pytest.raises(MeshError):
            await mesh.ask("work.echo", "x", timeout=1)
        crew.let("held")
    finally:
        server.thaw()
    assert await asked in ("one", "two")
    assert (await soon(lambda: mesh.ask("work.echo", "x")))[1] == "x"
    await listed(mesh, "one", "two")
