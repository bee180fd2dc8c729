"""A cluster that elects a leader answers nobody for some seconds, and what one of its servers has made is not known to all of
them at once; whoever starts just then asks again and must not end of it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.protocols.errors import NoResponders, TimedOut, Unavailable
from mesh.protocols.ports import BucketSpec, KeyValue, Message, StreamSpec
from mesh.transport.connection import Connection
from mesh.transport.nats import api
from mesh.transport.nats.api import NO_LEADER, STREAM_NOT_FOUND, TOO_FEW_SERVERS, TRIES
from mesh.transport.nats.bus import NatsBus
from tests.cluster import Cluster
from tests.contract.places import eventually
from tests.servers import RealServer
from tests.transport.conftest import Dial

STREAM = StreamSpec(name="IN", subjects=("in.>",))
"""What is there already when the election begins."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path / "server") as running:
        yield running


@pytest.fixture
async def connection(dial: Dial, server: RealServer) -> Connection:
    connection = await dial(server.url)
    await connection.store.ensure_stream(STREAM)
    return connection


def _refusal(subject: str, code: int, err_code: int) -> Message:
    error = {"code": code, "err_code": err_code, "description": "in the server's words"}
    return Message(subject, json.dumps({"error": error}).encode())


async def a_new_stream(connection: Connection) -> None:
    await connection.store.ensure_stream(StreamSpec(name="OUT", subjects=("out.>",)))
    await connection.store.append("out.a", b"1")


async def a_stream_of_another_shape(connection: Connection) -> None:
    await connection.store.ensure_stream(StreamSpec(name="IN", subjects=("in.>", "more.>")))
    await connection.store.append("more.a", b"1")


async def a_consumer(connection: Connection) -> None:
    consumer = await connection.store.consumer("IN", "all", ("in.>",))
    await connection.store.append("in.a", b"1")
    delivery = await consumer.next(30.0)
    assert delivery is not None
    assert delivery.message.data == b"1"
    await consumer.close()


async def a_watch(connection: Connection) -> None:
    bucket = await connection.store.bucket(BucketSpec(name="b"))
    await bucket.put("a", b"before")
    heard: list[KeyValue] = []
    watch = await bucket.watch(heard.append)
    await bucket.put("a", b"after")
    await eventually(lambda: [entry.value for entry in heard] == [b"before", b"after"])
    await watch.close()


@pytest.mark.parametrize("silent", [1, TRIES - 1])
@pytest.mark.parametrize("start", [a_new_stream, a_stream_of_another_shape, a_consumer, a_watch])
async def test_what_a_process_starts_with_is_asked_for_again_while_nobody_answers(
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[[Connection], Awaitable[None]],
    silent: int,
) -> None:
    """Each question of its own kind goes unanswered `silent` times, then the leader is there."""
    asked: Counter[str] = Counter()
    request = NatsBus.request

    async def elect(bus: NatsBus, subject: str, data: bytes, **options: float) -> Message:
        kind = ".".join(subject.split(".")[2:4])
        asked[kind] += 1
        if subject.startswith("$JS.API.") and asked[kind] <= silent:
            raise TimedOut("no answer")
        return await request(bus, subject, data, **options)

    monkeypatch.setattr(NatsBus, "request", elect)
    await start(connection)
    assert max(asked.values()) > silent


async def test_who_is_never_answered_hears_of_it(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def silence(bus: NatsBus, subject: str, data: bytes, **options: float) -> Message:
        nonlocal asked
        asked += 1
        raise TimedOut("no answer")

    monkeypatch.setattr(NatsBus, "request", silence)
    with pytest.raises(TimedOut):
        await connection.store.consumer("IN", "all", ("in.>",))
    assert asked == TRIES


@pytest.mark.parametrize("start", [a_new_stream, a_stream_of_another_shape, a_consumer, a_watch])
@pytest.mark.parametrize(("code", "err_code"), [(503, NO_LEADER), (400, TOO_FEW_SERVERS)])
async def test_what_a_process_starts_with_is_asked_for_again_while_a_cluster_cannot_decide(
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[[Connection], Awaitable[None]],
    code: int,
    err_code: int,
) -> None:
    """So every server answers at once, from when it misses the leader until there is another one; and so does a leader, until the
    others have told it that they are there."""
    refused: Counter[str] = Counter()
    request = NatsBus.request

    async def elect(bus: NatsBus, subject: str, data: bytes, **options: float) -> Message:
        kind = ".".join(subject.split(".")[2:4])
        if kind in ("STREAM.CREATE", "STREAM.UPDATE", "STREAM.INFO", "CONSUMER.CREATE") and refused[kind] < 3:
            refused[kind] += 1
            return _refusal(subject, code, err_code)
        return await request(bus, subject, data, **options)

    monkeypatch.setattr(NatsBus, "request", elect)
    await start(connection)
    assert max(refused.values()) == 3


@pytest.mark.parametrize(
    ("code", "err_code", "said"),
    [(503, NO_LEADER, str(NO_LEADER)), (400, TOO_FEW_SERVERS, "start more of its servers")],
)
async def test_who_asks_a_cluster_that_never_decides_hears_of_it(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, code: int, err_code: int, said: str
) -> None:
    async def undecided(bus: NatsBus, subject: str, data: bytes, **options: float) -> Message:
        return _refusal(subject, code, err_code)

    monkeypatch.setattr(NatsBus, "request", undecided)
    monkeypatch.setattr(api, "SETTLES_WITHIN", 0.1)
    with pytest.raises(Unavailable, match=said):
        await connection.store.ensure_stream(STREAM)


async def test_what_is_written_into_a_bucket_waits_until_there_is_somebody_who_takes_it(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket is there all the time, and whoever asks is told so."""
    bucket = await connection.store.bucket(BucketSpec(name="b"))
    refused = 0
    ask = NatsBus.ask

    def elect(bus: NatsBus, subject: str, data: bytes, **options: Any) -> asyncio.Future[Message]:
        nonlocal refused
        if subject.startswith("$KV.") and refused < 3:
            refused += 1
            raise NoResponders("nobody listens")
        return ask(bus, subject, data, **options)

    monkeypatch.setattr(NatsBus, "ask", elect)
    assert await bucket.put("a", b"1", revision=0) == 1
    assert refused == 3


@pytest.mark.parametrize("start", [a_new_stream, a_stream_of_another_shape, a_watch])
async def test_a_stream_that_is_not_there_yet_though_it_was_made_is_asked_for_again(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, start: Callable[[Connection], Awaitable[None]]
) -> None:
    """So answers the server that is to lead it, for as long as its disk takes to make it."""
    refused: Counter[str] = Counter()
    request = NatsBus.request

    async def make(bus: NatsBus, subject: str, data: bytes, **options: float) -> Message:
        kind = ".".join(subject.split(".")[2:4])
        if kind in ("STREAM.CREATE", "STREAM.INFO") and refused[kind] < 3:
            refused[kind] += 1
            return _refusal(subject, 404, STREAM_NOT_FOUND)
        return await request(bus, subject, data, **options)

    monkeypatch.setattr(NatsBus, "request", make)
    await start(connection)
    assert refused["STREAM.CREATE"] == 3


async def test_many_who_start_in_a_new_cluster_at_once_all_find_what_the_first_of_them_made(
    tmp_path: Path, dial: Dial
) -> None:
    """Asked of other servers than the one that made it, it is nowhere for some milliseconds."""

    async def begin(connection: Connection, number: int) -> None:
        store, stream = connection.store, f"S{number}"
        await store.ensure_stream(StreamSpec(name=stream, subjects=(f"s{number}.>",)))
        assert await store.last(stream, f"s{number}.nobody-writes-it") is None
        await store.append(f"s{number}.a", b"1")
        bucket = await store.bucket(BucketSpec(name=f"b{number}"))
        assert await bucket.get("nobody-writes-it") is None
        await bucket.put("a", b"1")
        heard: list[KeyValue] = []
        watch = await bucket.watch(heard.append)
        await eventually(lambda: b"1" in [entry.value for entry in heard])
        await watch.close()

    async with Cluster(tmp_path) as cluster:
        many = [await dial(server.url) for server in cluster.servers.values() for _ in range(3)]
        for number in range(4):
            await asyncio.gather(*(begin(connection, number) for connection in many))
