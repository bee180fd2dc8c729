"""Publishing while the server dies: the event loop knows of it a turn before we do."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import uvloop

from mesh.protocols.ports import Message
from mesh.settings.target import ServerTarget
from mesh.transport.connection import connect
from mesh.transport.nats.socket import SocketTransport
from tests.contract.places import eventually
from tests.servers import RealServer

LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_socket_that_is_gone_says_so_and_takes_nothing(loop: str) -> None:
    async def write_to_the_dead() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            transport = SocketTransport(lambda _: None)
            port = server.getsockname()[1]
            await transport.connect(urlparse(f"nats://127.0.0.1:{port}"), 0, 5.0)
            transport.write(b"alive")
            transport.abort()
            with pytest.raises(ConnectionResetError):
                transport.write(b"dead")
            await transport.wait_closed()
            with pytest.raises(ConnectionResetError):
                transport.write(b"dead")
            transport.abort()
            transport.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(write_to_the_dead())


@pytest.mark.server
@pytest.mark.parametrize("wire", ["fast", "plain"])
@pytest.mark.parametrize("loop", LOOPS)
def test_who_publishes_in_every_turn_notices_nothing_when_the_server_dies(tmp_path: Path, loop: str, wire: str) -> None:
    surprises: list[dict[str, Any]] = []

    async def publish_through_a_crash(server: RealServer) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: surprises.append(context))
        connection = await connect(ServerTarget(url=server.url), wire=wire)
        bus = connection.bus
        heard: list[bytes] = []

        def hear(message: Message) -> None:
            heard.append(message.data)

        await bus.subscribe("a", hear)
        before = bus.client
        server.kill()
        while bus.connected:
            for _ in range(10):
                bus.publish("a", b"lost or kept")
            await asyncio.sleep(0)
        bus.publish("a", b"the last")
        server.start()
        await eventually(lambda: bus.connected and bus.client != before, timeout=40)
        await eventually(lambda: b"the last" in heard)
        server.kill()
        bus.publish("a", b"nowhere")
        await connection.close()

    with RealServer(tmp_path) as server, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(publish_through_a_crash(server))
    assert surprises == []
