"""What a connection that is closed for good leaves behind: nobody who waits, and nothing that goes on."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import BucketSpec, Stored, StreamSpec
from mesh.settings.target import ServerTarget
from mesh.transport.connection import Connection, connect
from mesh.transport.nats import feed
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.collect import Following, collected
from tests.contract.places import eventually
from tests.servers import RealServer

pytestmark = pytest.mark.server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path / "server") as running:
        yield running


@pytest.fixture
async def connection(server: RealServer) -> AsyncIterator[Connection]:
    async with await connect(ServerTarget(url=server.url)) as made:
        await made.store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
        yield made


async def test_a_loss_that_is_told_after_the_close_keeps_nobody_waiting(connection: Connection) -> None:
    """nats-py tells of it a turn or two after it happened."""
    assert isinstance(connection.bus, NatsBus)
    await connection.close()
    connection.bus._on_lost()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(connection.bus.until_connected(), 30)


class _NeverComplete(Following):
    """As one is whose messages are still on their way."""

    def receive(self, stored: Stored, pending: int) -> None:
        self.keep(stored)

    def idle(self) -> None:
        return


async def test_a_read_in_hand_ends_with_the_connection(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unanswered() -> None:
        await asyncio.wait_for(connection.store.read("S", "s.>"), 60)

    monkeypatch.setattr("mesh.transport.nats.direct.TIMEOUT", 60.0)
    monkeypatch.setattr(connection.bus, "publish", lambda *_, **__: None)
    reading = asyncio.ensure_future(unanswered())
    await asyncio.sleep(0)
    await connection.close()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(reading, 30)


async def test_a_long_read_ends_with_the_connection(connection: Connection) -> None:
    assert isinstance(connection.bus, NatsBus)
    await connection.store.append("s.a", b"1")
    collection = _NeverComplete(0)
    reading = asyncio.ensure_future(collected(connection.bus, "S", "s.>", collection))
    await eventually(lambda: collection.found)
    await connection.close()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(reading, 30)


async def test_a_watch_that_nobody_closed_ends_with_the_connection(
    server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "HEARTBEAT", 0.1)
    left = await _closed_with_a_watch_on_it(server)

    def is_gone() -> bool:
        gc.collect()
        return left() is None

    await eventually(is_gone)


async def _closed_with_a_watch_on_it(server: RealServer) -> Callable[[], object]:
    async with await connect(ServerTarget(url=server.url)) as connection:
        watch = await (await connection.store.bucket(BucketSpec(name="B"))).watch(lambda entry: None)
        await watch.current
    return weakref.ref(watch)
