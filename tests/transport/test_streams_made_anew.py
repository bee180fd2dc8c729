"""A stream that is removed, or put back as it was earlier, under those who follow it: its sequences begin again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.protocols.ports import BucketSpec, Stored, StreamSpec
from mesh.settings.target import ServerTarget
from mesh.transport.connection import Connection, connect
from mesh.transport.nats import feed, watch
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.streams import StreamState
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]
STREAM = StreamSpec(name="S", subjects=("s.>",))


@pytest.fixture
async def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    """Over it a feed notices soon that its consumer is gone."""
    monkeypatch.setattr(feed, "HEARTBEAT", 0.2)
    monkeypatch.setattr(feed, "SILENCE", 0.6)
    with RealServer(tmp_path / "server") as server:
        async with await connect(ServerTarget(url=server.url)) as made:
            await made.store.ensure_stream(STREAM)
            yield made


async def _next(followed: AsyncIterator[Stored]) -> bytes:
    return (await asyncio.wait_for(anext(followed), 30)).data


async def _append(connection: Connection, *values: bytes) -> None:
    for value in values:
        await connection.store.append("s.a", value)


async def test_who_follows_a_stream_that_was_made_anew_gets_all_of_the_new_one(connection: Connection) -> None:
    await _append(connection, b"1", b"2", b"3")
    followed = connection.store.follow("S", "s.>")
    assert [await _next(followed) for _ in range(3)] == [b"1", b"2", b"3"]
    await connection.store.snapshots().remove("S")
    await connection.store.ensure_stream(STREAM)
    await _append(connection, b"anew 1", b"anew 2")
    assert [await _next(followed) for _ in range(2)] == [b"anew 1", b"anew 2"]
    await followed.aclose()  # type: ignore[attr-defined]


async def test_who_follows_a_stream_that_was_put_back_as_it_was_earlier_goes_on_at_its_end(
    connection: Connection,
) -> None:
    snapshots, pieces = connection.store.snapshots(), list[bytes]()
    await _append(connection, b"1", b"2")
    shape = await snapshots.take("S", pieces.append, consumers=False)
    await _append(connection, b"3", b"4", b"5")
    followed = connection.store.follow("S", "s.>")
    assert [await _next(followed) for _ in range(5)] == [b"1", b"2", b"3", b"4", b"5"]
    await snapshots.remove("S")
    await snapshots.put_back(shape, lambda: iter(pieces))
    await _append(connection, b"later", b"latest")
    assert [await _next(followed) for _ in range(2)] == [b"later", b"latest"]
    await followed.aclose()  # type: ignore[attr-defined]


async def test_a_snapshot_of_a_bucket_that_was_made_anew_may_be_interrupted(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its feed begins again before all has come: the revisions of before still mean nothing."""
    bucket = await connection.store.bucket(BucketSpec(name="B"))
    heard: list[bytes | None] = []
    assert isinstance(connection.bus, NatsBus)
    seen = watch.NatsWatch(connection.bus, "B", lambda entry: heard.append(entry.value), ">", bucket.create)  # type: ignore[attr-defined]
    made = "first"

    async def info(*_: object) -> StreamState:
        return StreamState(config={}, created=made)

    async def counts(*_: object) -> dict[str, int]:
        return there

    monkeypatch.setattr(watch, "info", info)
    monkeypatch.setattr(watch, "counts", counts)
    there = {"$KV.B.k": 1}
    await seen.opened(1)
    seen.receive(Stored("$KV.B.k", b"old", 1, 0.0), 0)
    made, there = "second", {"$KV.B.k": 1, "$KV.B.l": 1}
    await seen.opened(2)
    await seen.opened(2)
    seen.receive(Stored("$KV.B.k", b"new", 1, 0.0), 1)
    assert heard == [b"old", b"new"]
    await seen.close()
