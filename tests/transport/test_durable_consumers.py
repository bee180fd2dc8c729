"""A durable consumer is made on a real server, also while nobody there answers for some seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.protocols.errors import TimedOut
from mesh.protocols.ports import StreamSpec
from mesh.transport.nats import consumer as module
from tests.servers import RealServer
from tests.transport.conftest import Dial


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path / "server") as running:
        yield running


@pytest.mark.parametrize("silent", [1, module.TRIES - 1])
async def test_a_consumer_is_asked_for_again_while_nobody_answers(
    dial: Dial, server: RealServer, monkeypatch: pytest.MonkeyPatch, silent: int
) -> None:
    """A cluster that elects a leader does not answer; whoever starts just then must not end of it."""
    connection = await dial(server.url)
    await connection.store.ensure_stream(StreamSpec(name=f"IN{silent}", subjects=(f"in{silent}.>",)))
    call, asked = module.call, 0

    async def elect(*args: Any, **options: Any) -> bytes:
        nonlocal asked
        asked += 1
        if asked <= silent:
            raise TimedOut("no answer")
        return await call(*args, **options)

    monkeypatch.setattr(module, "call", elect)
    consumer = await connection.store.consumer(f"IN{silent}", "all", (f"in{silent}.>",))
    await connection.store.append(f"in{silent}.a", b"1")
    delivery = await consumer.next(5.0)
    assert delivery is not None
    assert delivery.message.data == b"1"
    await consumer.close()


async def test_who_is_never_answered_hears_of_it(
    dial: Dial, server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await dial(server.url)

    async def silence(*args: Any, **options: Any) -> bytes:
        raise TimedOut("no answer")

    monkeypatch.setattr(module, "call", silence)
    with pytest.raises(TimedOut):
        await connection.store.consumer("IN", "all", ("in.>",))
