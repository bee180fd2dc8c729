"""Reads are answered by any replica of a stream, and one may lag behind: what that must not lead to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import BucketSpec, Stored, StreamSpec
from mesh.settings.target import ServerTarget
from mesh.transport.connection import Connection, connect
from mesh.transport.nats import direct, inventory, objects, reading
from mesh.transport.nats.bus import NatsBus
from tests.servers import RealServer

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with RealServer(tmp_path_factory.mktemp("lagging")) as running:
        yield running


@pytest.fixture
async def connection(server: RealServer) -> Any:
    async with await connect(ServerTarget(url=server.url)) as made:
        yield made


async def test_an_object_that_a_replica_does_not_know_yet_is_read_from_the_leader(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await connection.store.objects("O")
    large, empty = await store.put(bytes(300_000)), await store.put(b"")

    async def behind(*_: object) -> None:
        return None

    monkeypatch.setattr(objects, "get_last", behind)
    assert await store.get(large) == bytes(300_000)
    assert await store.get(empty) == b""
    with pytest.raises(KeyError):
        await store.get("sha256:none")


async def test_who_may_not_ask_the_leader_believes_the_replica(tmp_path: Path) -> None:
    limited = '{ user: limited, password: pw, permissions: { publish: { deny: "$JS.API.STREAM.MSG.GET.>" } } }'
    with RealServer(tmp_path, users=limited) as server:
        async with await connect(ServerTarget(url=server.url, user="limited", password="pw")) as other:
            store = await other.store.objects("O")
            with pytest.raises(KeyError):
                await store.get("sha256:none")


async def test_an_object_of_which_a_replica_has_a_part_so_far_is_not_damaged(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await connection.store.objects("P")
    digest = await store.put(bytes(300_000))
    read = objects.read_from

    async def behind(*asked: Any) -> list[Stored]:
        return (await read(*asked))[:1]

    monkeypatch.setattr(objects, "read_from", behind)
    assert await store.get(digest) == bytes(300_000)


async def test_a_replica_that_lags_behind_the_one_before_hides_no_key(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page is answered by one that is up to date, the second by one that has not stored it yet."""
    bucket = await connection.store.bucket(BucketSpec(name="B"))
    for number in range(5):
        await bucket.put(f"k{number}", b"")
    monkeypatch.setattr(direct, "PAGE", 2)
    page, pages = direct._page, itertools.count()

    async def behind(bus: NatsBus, stream: str, question: dict[str, Any]) -> direct.Page:
        return direct.Page(stream) if next(pages) else await page(bus, stream, question)

    monkeypatch.setattr(direct, "_page", behind)
    assert [entry.key for entry in await bucket.all()] == [f"k{number}" for number in range(5)]


async def test_a_list_of_streams_that_lacks_some_does_not_pass_for_whole(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that elects its leader is named as missing: a backup without it would be none."""

    async def answer(*_: object) -> bytes:
        return b'{"total":2,"offset":0,"limit":256,"streams":[],"missing":["mesh_jobs","other"]}'

    monkeypatch.setattr(inventory, "call", answer)
    with pytest.raises(Unavailable, match="mesh_jobs"):
        await connection.store.streams("mesh_")
    assert await connection.store.streams("third") == []


async def test_a_long_list_has_what_the_leader_knows_also_where_a_replica_knows_less(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For some seconds after a restore into a cluster a new consumer finds nothing, or a part."""
    await connection.store.ensure_stream(StreamSpec(name="L", subjects=("l.>",)))
    for number in range(direct.PAGE + 10):
        connection.bus.publish(f"l.{number}", b"")
    await connection.store.append("l.last", b"")
    read, short = reading.collected, itertools.chain(("", "l.7"), itertools.repeat(None))

    async def behind(*asked: Any) -> Any:
        found = await read(*asked)
        only = next(short)
        if only is not None:
            found.found = {subject: each for subject, each in found.found.items() if subject == only}
        return found

    monkeypatch.setattr(reading, "collected", behind)
    assert len(await connection.store.last_each("L", "l.>")) == direct.PAGE + 11


async def test_a_replica_that_goes_on_knowing_less_is_not_believed(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.store.ensure_stream(StreamSpec(name="M", subjects=("m.>",)))
    for number in range(direct.PAGE + 10):
        connection.bus.publish(f"m.{number}", b"")
    await connection.store.append("m.last", b"")
    read = reading.collected

    async def behind(*asked: Any) -> Any:
        found = await read(*asked)
        del found.found["m.7"]
        return found

    monkeypatch.setattr(reading, "collected", behind)
    monkeypatch.setattr(reading, "WITHIN", 0.5)
    with pytest.raises(Unavailable, match="lacks 1 of"):
        await connection.store.last_each("M", "m.>")
