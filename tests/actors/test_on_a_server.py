"""The same on a real server, with agents in processes of their own: killed, frozen, and the server crashed under them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh.actors.peer import Identity, Peer
from mesh.clock import SystemClock, SystemIds
from mesh.protocols.errors import AgentLost, MeshError, NoResponders, UnknownAgent
from mesh.settings.target import ServerTarget
from mesh.testing.virtual_time import until
from mesh.transport.connection import connect
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]


class Hosts:
    """Agent processes, each killed by its own pid at the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str) -> subprocess.Popen[str]:
        process = self.running[name] = subprocess.Popen(
            [sys.executable, "-m", "tests.actors.agent_process", self.url, name], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        return process

    def end(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait(60)
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path) as server:
        yield server


@pytest.fixture
def hosts(server: RealServer) -> Iterator[Hosts]:
    hosts = Hosts(server.url)
    yield hosts
    hosts.end()


@pytest.fixture
async def client(server: RealServer) -> AsyncIterator[Peer]:
    clock = SystemClock()
    ids = SystemIds(clock)
    connection = await connect(ServerTarget(url=server.url, source="test"), name="client", clock=clock, ids=ids)
    peer = Peer(connection, identity=Identity(process="client", pid=os.getpid()), clock=clock, ids=ids)
    await peer.start()
    yield peer
    await peer.stop()
    await connection.close()


async def known(client: Peer, *processes: str) -> None:
    await until(lambda: {each.process for each in client.directory.lookup("work.echo")} == set(processes))


async def test_an_agent_in_another_process_answers(client: Peer, hosts: Hosts) -> None:
    hosts.start("one")
    await known(client, "one")
    assert await client.ask("work.echo", "hi") == "hi"
    big = "x" * 2_000_000
    assert await client.ask("work.echo", big) == big
    assert [item async for item in client.stream("worker", 200, command="count")] == list(range(200))
    results = await asyncio.gather(
        *(client.ask("work.echo", str(number)) for number in range(500)), return_exceptions=True
    )
    wrong = [each for number, each in enumerate(results) if each != str(number)]
    assert all(isinstance(each, MeshError) for each in wrong)
    assert len(wrong) < 250


async def test_a_killed_agent_is_known_at_once_and_another_answers(client: Peer, hosts: Hosts) -> None:
    one = hosts.start("one")
    hosts.start("two")
    await known(client, "one", "two")
    one.kill()
    results = [await client.ask("work.echo", "still") for _ in range(20)]
    assert results == ["still"] * 20
    await known(client, "two")


async def test_a_command_in_a_killed_process_ends_at_once(client: Peer, hosts: Hosts) -> None:
    one = hosts.start("one")
    await known(client, "one")
    began = asyncio.Event()
    asked = asyncio.ensure_future(
        client.ask("worker", 50.0, command="doze", timeout=50.0, on_progress=lambda _: began.set())
    )
    await began.wait()
    one.kill()
    with pytest.raises(AgentLost):
        await asyncio.wait_for(asked, 25)
    with pytest.raises((NoResponders, UnknownAgent)):
        await client.ask("work.echo", "x")


async def test_a_frozen_agent_costs_one_deadline_and_is_passed_over(client: Peer, hosts: Hosts) -> None:
    one = hosts.start("one")
    hosts.start("two")
    await known(client, "one", "two")
    one.send_signal(signal.SIGSTOP)
    try:
        await known(client, "two")
        assert [await client.ask("work.echo", "x", timeout=30.0) for _ in range(10)] == ["x"] * 10
    finally:
        one.send_signal(signal.SIGCONT)
    await known(client, "one", "two")


async def test_the_server_crashes_in_the_middle_of_everything(client: Peer, hosts: Hosts, server: RealServer) -> None:
    hosts.start("one")
    hosts.start("two")
    await known(client, "one", "two")
    heard: list[str] = []
    await client.events.subscribe(lambda event: heard.append(event.type))
    under_way = [asyncio.ensure_future(client.ask("worker", 0.5, command="sleep", timeout=4.0)) for _ in range(8)]
    await asyncio.sleep(0.1)
    server.restart()
    results = await asyncio.gather(*under_way, return_exceptions=True)
    assert all(each == "slept" or isinstance(each, MeshError) for each in results)
    await known(client, "one", "two")

    async def answers() -> bool:
        results = await asyncio.gather(client.ask("work.echo", "again", timeout=5.0), return_exceptions=True)
        return results == ["again"]

    async with asyncio.timeout(40):
        while not await answers():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await client.emit("after.all")
    await until(lambda: "after.all" in heard)
    assert heard.count("after.all") == 1


def test_an_agent_alone_in_its_process_ends_when_it_is_told_to_also_while_it_starts(server: RealServer) -> None:
    command = [sys.executable, "-m", "tests.actors.run_process", server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "starting\n"
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(40) == 0
        finally:
            process.kill()
        assert process.stdout.read() == "stopped\n"
