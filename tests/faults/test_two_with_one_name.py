"""Two with one name: agents, instances, processes; and a connection that only claims to be somebody.

Faults: an agent hosted twice in one process; a second process under a living process's name, that hosts or that only looks; a
second connection under the victim's name that is closed; a disconnect advisory that somebody made up.
"""

from __future__ import annotations

import asyncio
import json

import nats
import pytest
from nats.aio.client import Client

from mesh import agent
from mesh.client.mesh import Mesh
from mesh.protocols.errors import Refused
from mesh.protocols.naming.presence import DISCONNECTS
from mesh.registry.lease import NameTaken
from mesh.testing.virtual_time import until
from tests.faults.crew import Crew
from tests.faults.expectations import joined, listed, processes_of, soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]


@agent(name="worker")
async def impostor() -> str:
    return "impostor"


async def test_an_agent_may_live_in_several_processes_and_all_of_them_serve(crew: Crew, mesh: Mesh) -> None:
    await crew.start("one", "two", instance="same")
    await listed(mesh, "one", "two")
    served = {(await mesh.ask("worker.same", "x", command="echo"))[0] for _ in range(40)}
    served |= {(await mesh.call("work.echo", "x"))[0] for _ in range(40)}
    assert served == {"one", "two"}


async def test_the_same_instance_twice_in_one_process_is_refused_and_the_first_serves_on(mesh: Mesh) -> None:
    await mesh.host(impostor, instance="a")
    with pytest.raises(Refused, match="give it another instance name"):
        await mesh.host(impostor, instance="a")
    assert await mesh.ask("worker.a") == "impostor"


async def test_the_second_process_of_a_name_is_refused_with_what_to_do(
    server: RealServer, crew: Crew, mesh: Mesh
) -> None:
    await crew.start("one")
    await listed(mesh, "one")
    asking = asyncio.ensure_future(_ask_for_ever(mesh))
    async with joined(server.url, "one") as second:
        with pytest.raises(NameTaken, match=f"pid {crew.pid('one')} .*process="):
            await second.host(impostor)
    await listed(mesh, "one")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_process_that_only_looks_harms_nobody_whose_name_it_takes(
    server: RealServer, crew: Crew, mesh: Mesh
) -> None:
    await crew.start("one")
    await listed(mesh, "one")
    async with joined(server.url, "one") as looking:
        assert await looking.ask("work.echo", "x") == ["one", "x"]
        assert [await mesh.ask("work.echo", "x") for _ in range(20)] == [["one", "x"]] * 20
        assert [await mesh.call("work.echo", "x") for _ in range(20)] == [["one", "x"]] * 20


async def test_a_second_connection_under_the_victims_name_that_ends_costs_it_nothing(
    server: RealServer, crew: Crew, mesh: Mesh
) -> None:
    await crew.start("one")
    await listed(mesh, "one")
    gone, ended = _departures(mesh), []
    await mesh.peer.bus.subscribe(DISCONNECTS, lambda message: ended.append(message.data))
    held = asyncio.ensure_future(mesh.ask("worker", "held", command="hold"))
    await crew.did("begun-held")
    for _ in range(3):
        await (await nats.connect(server.url, name="one")).close()
    await _connect_and_crash(server.port, "one")
    await until(lambda: sum(b'"one"' in each for each in ended) == 4)
    assert processes_of(mesh) == ["one"]
    assert gone == []
    crew.let("held")
    assert await held == "one"


async def test_an_advisory_that_somebody_made_up_takes_nobody_away_for_long(
    crew: Crew, mesh: Mesh, raw: Client
) -> None:
    await crew.start("one")
    await listed(mesh, "one")
    gone = _departures(mesh)
    lease = mesh.directory.process("one")
    assert lease is not None
    client = {"id": lease.client_id, "name": "one"}
    forged = {"server": {"id": lease.server_id}, "client": client, "reason": "Client Closed"}
    for _ in range(5):
        await raw.publish("$SYS.ACCOUNT.MESH.DISCONNECT", json.dumps(forged).encode())
    await until(lambda: "one" in gone)
    await listed(mesh, "one")
    assert await soon(lambda: mesh.ask("work.echo", "x")) == ["one", "x"]
    assert not crew.mishaps("one")


def _departures(mesh: Mesh) -> list[str]:
    """The processes that the directory takes off its list, as it does."""
    gone: list[str] = []
    mesh.directory.on_change(lambda change: gone.append(change.process) if change.kind == "process-down" else None)
    return gone


async def _connect_and_crash(port: int, name: str) -> None:
    """A client that is there, and then its socket is not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b'CONNECT {"name":"%s","verbose":false}\r\nPING\r\n' % name.encode())
    await reader.readuntil(b"PONG\r\n")
    writer.transport.abort()


async def _ask_for_ever(mesh: Mesh) -> None:
    while True:
        assert await mesh.ask("work.echo", "x") == ["one", "x"]
