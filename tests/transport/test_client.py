"""The client between nats-py and us, on bad days; on the fast wire, whoever chooses the plain one for everything else."""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

import pytest

from mesh.protocols.errors import TimedOut, TooLarge, Unavailable
from mesh.protocols.ports import Message
from mesh.settings.target import ServerTarget
from mesh.transport.connection import connect
from mesh.transport.nats.bus import NatsBus
from tests.contract.places import eventually
from tests.servers import free_port
from tests.transport.fake_server import fake_server


async def test_the_server_hears_every_frame_in_the_order_of_the_calls() -> None:
    async with fake_server() as server:
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        connection.bus.publish("a", b"1")
        subscription = await connection.bus.subscribe("b", lambda m: None)
        connection.bus.publish("c", b"2", reply="d", headers={"X": "y"})
        await subscription.close()
        await connection.bus.flush()
        order = [line for line in server.heard if line[:3] in (b"PUB", b"SUB", b"HPU", b"UNS")]
        assert [line.split()[0:2] for line in order[1:]] == [
            [b"PUB", b"a"],
            [b"SUB", b"b"],
            [b"HPUB", b"c"],
            [b"UNSUB", b"2"],
        ]
        await connection.close()


async def test_a_pong_for_a_flush_that_was_given_up_does_no_harm() -> None:
    async with fake_server() as server:
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        server.silent = True
        with pytest.raises(TimedOut):
            await connection.bus.flush(timeout=0.05)
        server.silent = False
        await server.say(b"PONG\r\n")
        await connection.bus.flush()
        assert server.connections == 1
        await connection.close()


async def test_news_of_the_server_before_its_first_pong_do_not_confuse_the_login() -> None:
    async with fake_server() as server:
        server.refuse = b'INFO {"max_payload": 4096}\r\nPONG\r\n'
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        server.refuse = b""
        await connection.bus.flush()
        assert connection.bus.max_payload == 4096
        await connection.close()


async def test_a_new_limit_of_the_server_holds_from_then_on() -> None:
    async with fake_server() as server:
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        await server.say(b'INFO {"max_payload": 100}\r\n')
        await eventually(lambda: connection.bus.max_payload == 100)
        with pytest.raises(TooLarge):
            connection.bus.publish("a", bytes(101))
        await connection.close()


@pytest.mark.parametrize(
    "noise",
    [
        b"GARBAGE\r\n",
        b"MSG too few\r\n",
        b"HMSG a 1 x y\r\n",
        b"-ERR\r\nGARBAGE\r\n",
        b"\xff\xfe\r\n",
        b"MSG a 1 999999999\r\n",
        b"MSG a 1 1\r\nxyz\r\n",
        b"INFO no json\r\n",
        b"x" * 1_100_000,
    ],
)
async def test_noise_on_the_line_ends_in_a_reconnect_not_in_silence(noise: bytes) -> None:
    async with fake_server() as server:
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        await server.say(noise)
        await eventually(lambda: server.connections == 2 and connection.bus.connected)
        await connection.bus.flush()
        await connection.close()


async def test_odd_messages_reach_the_handler_and_harm_nobody() -> None:
    async with fake_server() as server:
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        heard: list[Message] = []
        await connection.bus.subscribe("a", heard.append)
        await server.say(b"MSG a 99 1\r\nx\r\n")
        await server.say(_message_with_headers(b"NATS/1.0\r\n: \r\n\r\n", b"hi"))
        await server.say(_message_with_headers(b"NATS/1.0 100 Idle\r\nK: v:w\r\n\r\n", b""))
        await server.say(b"MSG \xff\xff 2 1\r\ny\r\n")
        await eventually(lambda: len(heard) == 3)
        assert heard[1].headers == {"Status": "100", "Description": "Idle", "K": "v:w"}
        assert connection.bus.connected
        await connection.close()


def _message_with_headers(block: bytes, data: bytes) -> bytes:
    return b"HMSG a 2 %d %d\r\n%b%b\r\n" % (len(block), len(block) + len(data), block, data)


@pytest.mark.parametrize(
    "words", [b"'User Authentication Expired'", b"'Authorization Violation'", b"'Stale Connection'", b"'Slow Consumer'"]
)
async def test_a_complaint_that_ends_the_connection_is_followed_by_a_new_one(words: bytes) -> None:
    async with fake_server() as server:
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        await server.say(b"-ERR " + words + b"\r\n")
        server.hang_up()
        await eventually(lambda: server.connections == 2 and connection.bus.connected)
        await connection.bus.flush()
        await connection.close()


async def test_credentials_that_stay_refused_keep_the_connection_trying_and_calls_typed() -> None:
    async with fake_server() as server:
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        server.refuse = b"-ERR 'Authorization Violation'\r\n"
        await server.say(b"-ERR 'User Authentication Expired'\r\n")
        server.hang_up()
        await eventually(lambda: server.connections >= 4)
        with pytest.raises(Unavailable):
            await connection.bus.request("a", b"", timeout=1)
        server.refuse = b""
        await eventually(lambda: connection.bus.connected)
        await connection.bus.flush()
        await connection.close()


async def test_a_complaint_that_ends_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with fake_server() as server:
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        with caplog.at_level(logging.ERROR, "mesh.transport"):
            await server.say(b"-ERR 'Invalid Publish Subject'\r\n")
            await eventually(lambda: "invalid publish subject" in caplog.text)
        await connection.bus.flush()
        assert server.connections == 1
        await connection.close()


async def test_a_closed_connection_leaves_no_task_behind() -> None:
    async with fake_server() as server:
        before = asyncio.all_tasks()
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        await connection.bus.subscribe("a", lambda m: None)
        await connection.close()
        mine = {t for t in asyncio.all_tasks() - before if "FakeServer" not in repr(t.get_coro())}
        assert not mine


async def test_a_connection_that_comes_and_goes_leaves_no_question_behind() -> None:
    async with fake_server() as server:
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        questions = [asyncio.ensure_future(connection.bus.request("a", b"", timeout=30)) for _ in range(10)]
        await connection.bus.flush()
        server.hang_up()
        results = await asyncio.gather(*questions, return_exceptions=True)
        assert all(isinstance(result, Unavailable) for result in results)
        assert not connection.bus._replies._questions  # type: ignore[attr-defined]
        await connection.close()


async def test_a_server_that_another_has_named_is_gone_to_when_that_one_is_lost() -> None:
    async with fake_server() as named:
        async with fake_server() as first:
            first.news = {"connect_urls": [named.url.removeprefix("nats://")]}
            connection = await connect(ServerTarget(url=first.url), wire="fast")
            assert named.connections == 0
        await eventually(lambda: named.connections and connection.bus.connected)
        await connection.bus.flush()
        await connection.close()


async def test_a_server_that_was_given_up_while_dialling_is_gone_to_later() -> None:
    async with fake_server() as first:
        missing = f"nats://127.0.0.1:{free_port()}"
        connection = await connect(ServerTarget(url=f"{missing},{first.url}"), wire="fast")
        pool = {server.uri.netloc for server in connection.bus._wire._client.server_pool}  # type: ignore[attr-defined]
        assert {f"nats://{netloc}" for netloc in pool} == {missing, first.url}
        await connection.close()


@pytest.mark.parametrize("wire", ["fast", "plain"])
async def test_who_gives_up_connecting_leaves_no_connection_behind(wire: Literal["fast", "plain"]) -> None:
    async with fake_server() as server:
        server.silent = True
        connecting = asyncio.ensure_future(connect(ServerTarget(url=server.url), wire=wire))
        await eventually(lambda: b"PING" in server.heard)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await eventually(lambda: server.ended == 1)


@pytest.mark.parametrize("while_flushing", [True, False])
async def test_a_close_that_is_cancelled_closes_all_the_same(while_flushing: bool) -> None:
    async with fake_server() as server:
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        bus = connection.bus
        assert isinstance(bus, NatsBus)
        stubborn = bus.background.start(_stubborn(), "stubborn")
        await asyncio.sleep(0)
        server.silent = while_flushing
        closing = asyncio.ensure_future(connection.close())
        await eventually(lambda: bus.closed or (while_flushing and server.heard.count(b"PING") == 2))
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert bus.closed
        await eventually(lambda: server.ended == 1)
        stubborn.cancel()


async def _stubborn() -> None:
    """Does not end when it is told to, for a while."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(1)


async def test_a_login_that_is_cut_right_away_again_and_again_leaves_nothing_behind() -> None:
    async with fake_server() as server:
        connection = await connect(ServerTarget(url=server.url), wire="fast")
        server.curt = True
        server.hang_up()
        await eventually(lambda: server.connections >= 12, timeout=30)
        server.curt = False
        await eventually(lambda: connection.bus.connected)
        await connection.bus.flush()
        names = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]
        assert names.count("Client._ping_interval") == 1
        assert names.count("Client._flusher") == 1
        await connection.close()
