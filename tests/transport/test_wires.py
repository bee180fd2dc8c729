"""What only some servers ask of a connection, over both wires: TLS, WebSockets, credentials that change, hung servers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mesh.protocols.errors import Overloaded, TimedOut, Unavailable
from mesh.protocols.ports import Message
from mesh.transport.connection import Connection
from mesh.transport.nats.options import PING_INTERVAL
from tests.contract.places import eventually
from tests.servers import RealServer, free_port
from tests.transport.conftest import Dial
from tests.transport.special_servers import Certificate, SpecialServer

pytestmark = pytest.mark.server
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made with openssl")
ADA = '{ user: ada, password: "%s" }'


async def carries_everything(connection: Connection) -> None:
    """Small and large, with headers and without, there and back, and to nobody."""
    bus = connection.bus

    def answer(message: Message) -> None:
        bus.publish(message.reply, message.data, headers=message.headers)

    subscription = await bus.subscribe("echo", answer)
    for data in (b"", b"\r\n", bytes(900_000)):
        back = await bus.request("echo", data, timeout=30, headers={"Trace": "abc"})
        assert (back.data, back.headers) == (data, {"Trace": "abc"})
    assert (await bus.request("echo", b"plain", timeout=30)).headers is None
    await subscription.close()


async def comes_back(connection: Connection, server: RealServer) -> None:
    before = connection.bus.client
    server.restart()
    await eventually(lambda: connection.bus.connected and connection.bus.client != before, timeout=40)


@needs_openssl
@pytest.mark.parametrize("first", [False, True])
async def test_over_tls_everything_is_carried_and_comes_back_after_a_restart(
    tmp_path: Path, dial: Dial, first: bool
) -> None:
    proof = Certificate(tmp_path / "proof")
    with SpecialServer(tmp_path / "s", extra=proof.section("handshake_first: auto" if first else "")) as server:
        url = server.url.replace("nats://", "tls://")
        connection = await dial(url, tls_ca=str(proof.certificate), tls_first=first)
        await carries_everything(connection)
        await comes_back(connection, server)
        await carries_everything(connection)


@needs_openssl
async def test_a_certificate_of_ours_that_was_renewed_is_shown_from_the_next_reconnect_on(
    tmp_path: Path, dial: Dial
) -> None:
    proof, old, new = (Certificate(tmp_path / name) for name in ("proof", "old", "new"))
    mine, key, trusted = (tmp_path / name for name in ("mine.pem", "mine.key", "trusted.pem"))

    def use(ours: Certificate) -> None:
        for found, place in ((ours.certificate, mine), (ours.key, key), (ours.certificate, trusted)):
            shutil.copy(found, place)

    use(old)
    with SpecialServer(tmp_path / "s", extra=proof.section(f'ca_file: "{trusted}", verify: true')) as server:
        url = server.url.replace("nats://", "tls://")
        connection = await dial(url, tls_ca=str(proof.certificate), tls_cert=str(mine), tls_key=str(key))
        use(new)
        await comes_back(connection, server)
        await carries_everything(connection)


@needs_openssl
async def test_a_certificate_of_nobody_we_trust_is_refused_with_what_to_do(tmp_path: Path, dial: Dial) -> None:
    proof, other = Certificate(tmp_path / "proof"), Certificate(tmp_path / "other")
    with (
        SpecialServer(tmp_path / "s", extra=proof.section()) as server,
        pytest.raises(Unavailable, match=r"no TLS connection.*NATS_CA"),
    ):
        await dial(server.url, tls_ca=str(other.certificate))


async def test_over_a_websocket_everything_is_carried_and_comes_back_after_a_restart(
    tmp_path: Path, dial: Dial
) -> None:
    port = free_port()
    with SpecialServer(tmp_path, extra=f'websocket {{ host: "127.0.0.1", port: {port}, no_tls: true }}') as server:
        connection = await dial(f"ws://127.0.0.1:{port}")
        await carries_everything(connection)
        await comes_back(connection, server)
        await carries_everything(connection)


async def test_over_a_websocket_a_server_that_takes_nothing_makes_publishers_overloaded(
    tmp_path: Path, dial: Dial
) -> None:
    port = free_port()
    with SpecialServer(tmp_path, extra=f'websocket {{ host: "127.0.0.1", port: {port}, no_tls: true }}') as server:
        connection, there = await dial(f"ws://127.0.0.1:{port}"), await dial(server.url)
        heard: list[int] = []
        await there.bus.subscribe("a", lambda message: heard.append(len(message.data)))
        await there.bus.flush()
        server.freeze()
        taken: list[int] = []

        def publish_without_end() -> None:
            for _ in range(200):
                connection.bus.publish("a", bytes(1_000_000))
                taken.append(1_000_000)

        with pytest.raises(Overloaded):
            publish_without_end()
        server.thaw()
        await connection.bus.flush(30)
        await eventually(lambda: heard == taken)
        await carries_everything(connection)


async def test_over_a_websocket_servers_that_another_has_named_are_in_nobodys_way(tmp_path: Path, dial: Dial) -> None:
    """A server names the others without saying how to speak to them, and nats-py takes them for plain ones."""
    port = free_port()
    with SpecialServer(tmp_path, extra=f'websocket {{ host: "127.0.0.1", port: {port}, no_tls: true }}') as server:
        connection = await dial(f"ws://127.0.0.1:{port}")
        await connection.bus._wire._client._process_info({"connect_urls": [f"127.0.0.1:{free_port()}"]})  # type: ignore[attr-defined]
        for _ in range(3):
            await comes_back(connection, server)
        await carries_everything(connection)


async def test_credentials_that_are_refused_while_reconnecting_are_tried_until_they_are_accepted(
    tmp_path: Path, dial: Dial
) -> None:
    server = SpecialServer(tmp_path, users=ADA % "old", anonymous=False)
    with server:
        connection = await dial(server.url, user="ada", password="old")
        server.let_in(ADA % "new")
        server.restart()
        await eventually(lambda: "authentication error" in server.log().lower())
        assert not connection.bus.connected
        with pytest.raises(Unavailable):
            await connection.bus.flush()
        server.let_in(ADA % "old")
        await comes_back(connection, server)
        await carries_everything(connection)


@pytest.mark.fault
async def test_a_frozen_server_is_left_and_found_again(
    tmp_path: Path, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.transport.nats.options.PING_INTERVAL", 0.2)
    monkeypatch.setattr("mesh.transport.nats.plain.RENEW_AFTER", 1.0)
    with RealServer(tmp_path) as server:
        connection = await dial(server.url)
        told: list[str] = []
        connection.bus.on_disconnect(lambda: told.append("lost"))
        connection.bus.on_reconnect(lambda: told.append("back"))
        server.freeze()
        for _ in range(8):
            connection.bus.publish("a", bytes(1_000_000))
        with pytest.raises((Unavailable, TimedOut)):
            await connection.bus.flush(30)
        await eventually(lambda: told[-1:] == ["lost"])
        monkeypatch.undo()
        connection.bus._wire._client.options["ping_interval"] = PING_INTERVAL  # type: ignore[attr-defined]
        server.thaw()
        await eventually(lambda: told[-1:] == ["back"])
        await carries_everything(connection)


async def test_a_server_that_is_slower_than_we_are_gets_everything_in_the_end(tmp_path: Path, dial: Dial) -> None:
    with RealServer(tmp_path) as server:
        here, there = await dial(server.url), await dial(server.url)
        heard: list[int] = []
        await there.bus.subscribe("a", lambda message: heard.append(len(message.data)))
        server.freeze()
        for _ in range(12):
            here.bus.publish("a", bytes(1_000_000))
        server.thaw()
        await here.bus.flush(30)
        await eventually(lambda: heard == [1_000_000] * 12)


async def test_a_lower_limit_of_the_server_is_told_before_it_is_passed(tmp_path: Path, dial: Dial) -> None:
    with SpecialServer(tmp_path, changed={"max_payload: 1MB": "max_payload: 4KB"}) as server:
        assert (await dial(server.url)).bus.max_payload == 4096
