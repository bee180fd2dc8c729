"""A stream that is removed, or put back as it was earlier, under those who follow it: its sequences begin again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.protocols.ports import Stored, StreamSpec
from mesh.settings.target import ServerTarget
from mesh.transport.connection import Connection, connect
from mesh.transport.nats import feed
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
    return (await asyncio.wait_for(anext(followed), 10)).data


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
