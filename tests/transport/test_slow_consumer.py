"""Who takes less than the server has for him is cut off by it; that is said and counted, not passed over."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from pathlib import Path

import pytest

from mesh.settings.target import ServerTarget
from mesh.transport.connection import connect
from mesh.transport.nats.bus import NatsBus
from tests.contract.places import eventually
from tests.servers import RealServer
from tests.transport.fake_server import fake_server
from tests.transport.special_servers import SpecialServer

MESSAGE = bytes(64 * 1024)
FLOOD = 800


def _flood(server: RealServer) -> None:
    """Much more than a socket and the server hold, from a client without a loop."""
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"CONNECT {}\r\n")
        for _ in range(FLOOD):
            client.sendall(b"PUB flood %d\r\n%b\r\n" % (len(MESSAGE), MESSAGE))
        client.sendall(b"PING\r\n")
        while b"PONG" not in client.recv(65536):
            pass


@pytest.mark.server
@pytest.mark.fault
async def test_being_cut_off_by_the_server_is_logged_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SpecialServer(tmp_path, changed={"max_pending: 64MB": "max_pending: 1MB"}) as server:
        async with await connect(ServerTarget(url=server.url), wire="fast") as connection:
            bus = connection.bus
            assert isinstance(bus, NatsBus)
            await bus.subscribe("flood", lambda _: time.sleep(0.02))
            lost: list[str] = []
            bus.on_disconnect(lambda: lost.append("lost"))
            with caplog.at_level(logging.ERROR, "mesh.transport"):
                await asyncio.to_thread(_flood, server)
                await eventually(lambda: lost, timeout=40)
            assert "Slow Consumer" in server.log()
            assert bus.slow_consumer >= 1  # the flood may go on when it is back
            assert "slow consumer: the server cut the connection" in caplog.text
            await eventually(lambda: bus.connected)


async def test_being_told_by_the_server_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    async with fake_server() as server, await connect(ServerTarget(url=server.url), wire="fast") as connection:
        assert isinstance(connection.bus, NatsBus)
        bus = connection.bus
        with caplog.at_level(logging.ERROR, "mesh.transport"):
            await server.say(b"-ERR 'Slow Consumer'\r\n")
            await eventually(lambda: bus.slow_consumer == 1)
        assert "slow consumer: the server says so" in caplog.text


async def test_losing_the_connection_while_little_is_going_on_counts_for_nothing() -> None:
    async with fake_server() as server, await connect(ServerTarget(url=server.url), wire="fast") as connection:
        assert isinstance(connection.bus, NatsBus)
        server.hang_up()
        await eventually(lambda: server.connections == 2 and connection.bus.connected)
        assert connection.bus.slow_consumer == 0
