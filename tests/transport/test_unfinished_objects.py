"""What is left of an object whose put did not end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from time import time
from typing import Any

import pytest

from mesh.protocols.errors import Refused, TimedOut
from mesh.protocols.ports import Ack
from mesh.settings.target import ServerTarget
from mesh.transport.connection import Connection, connect
from mesh.transport.nats import objects
from mesh.transport.nats.append import append
from tests.contract.places import eventually_none
from tests.servers import RealServer

pytestmark = pytest.mark.server
DATA = bytes(range(256)) * 2000
LATER = 4e9


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with RealServer(tmp_path_factory.mktemp("objects")) as running:
        yield running


@pytest.fixture
async def connection(server: RealServer) -> AsyncIterator[Connection]:
    async with await connect(ServerTarget(url=server.url)) as made:
        yield made


class _Failing:
    """The append whose subject begins so raises, the second one of those if there are several."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, subject: str, error: BaseException) -> None:
        self._subject = subject
        self._error = error
        self._again = ".M." in subject
        monkeypatch.setattr(objects, "append", self._append)

    async def _append(self, bus: Any, subject: str, *said: Any) -> Ack:
        if subject.startswith(self._subject):
            if self._again:
                raise self._error
            self._again = True
        return await append(bus, subject, *said)


async def _chunks(connection: Connection, name: str) -> dict[str, int]:
    return await connection.store.counts(f"OBJ_{name}", f"$O.{name}.C.>")


@pytest.mark.parametrize("error", [TimedOut("no answer"), asyncio.CancelledError()])
async def test_a_put_that_fails_among_its_chunks_leaves_none(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    store = await connection.store.objects("A")
    _Failing(monkeypatch, "$O.A.C.", error)
    with pytest.raises(type(error)):
        await store.put(DATA)
    await eventually_none(lambda: _chunks(connection, "A"))


async def test_a_put_whose_entry_is_refused_leaves_no_chunks(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await connection.store.objects("B")
    _Failing(monkeypatch, "$O.B.M.", Refused("no room"))
    with pytest.raises(Refused):
        await store.put(DATA)
    await eventually_none(lambda: _chunks(connection, "B"))


async def test_chunks_whose_entry_may_yet_come_stay_until_they_are_tidied_away(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await connection.store.objects("C")
    with monkeypatch.context() as patched:
        _Failing(patched, "$O.C.M.", TimedOut("no answer"))
        with pytest.raises(TimedOut):
            await store.put(DATA)
    assert sum((await _chunks(connection, "C")).values()) == 4
    assert await store.tidy(time() - 3600) == 0
    whole, empty = await store.put(DATA), await store.put(b"")
    assert len(await _chunks(connection, "C")) == 2
    assert await store.tidy(LATER) == 1
    assert await store.tidy(LATER) == 0
    assert await store.get(whole) == DATA
    assert await store.get(empty) == b""
