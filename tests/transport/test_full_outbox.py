"""More waits for the server than may: what our own questions to it do then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from mesh.protocols.errors import Overloaded
from mesh.protocols.ports import BucketSpec, StreamSpec
from mesh.settings.target import ServerTarget
from mesh.transport.connection import Connection, connect
from mesh.transport.nats.bus import NatsBus
from tests.servers import RealServer

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with RealServer(tmp_path_factory.mktemp("full")) as running:
        yield running


@pytest.fixture
async def connection(server: RealServer) -> AsyncIterator[Connection]:
    async with await connect(ServerTarget(url=server.url)) as made:
        await made.store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
        yield made


async def test_a_pull_that_cannot_be_sent_now_is_sent_later(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = await connection.store.consumer("S", "pull", ("s.a",))
    full = [True, True]

    def publish(bus: NatsBus, *args: Any, **options: Any) -> None:
        if full and full.pop():
            raise Overloaded("full")
        was(bus, *args, **options)

    was = NatsBus.publish
    monkeypatch.setattr(NatsBus, "publish", publish)
    waiting = asyncio.ensure_future(consumer.next(50))
    await connection.store.append("s.a", b"1")
    delivery = await asyncio.wait_for(waiting, 45)
    assert delivery is not None
    await delivery.ack()
    await consumer.close()


async def test_a_watch_closes_whatever_waits(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = await (await connection.store.bucket(BucketSpec(name="B"))).watch(lambda entry: None)
    await watch.current

    def publish(bus: NatsBus, *args: Any, **options: Any) -> None:
        raise Overloaded("full")

    monkeypatch.setattr(NatsBus, "publish", publish)
    await watch.close()
