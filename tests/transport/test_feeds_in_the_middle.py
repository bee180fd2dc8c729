"""What is removed or written anew while a feed of the newest messages is on its way.

The server sends a few large messages and then waits until it is told that they are dealt with: in that pause it happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mesh.protocols.ports import BucketSpec, KeyValue, Stored, StreamSpec
from mesh.settings.target import ServerTarget
from mesh.transport.connection import Connection, connect
from mesh.transport.headers import ROLLUP
from mesh.transport.nats import feed
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.collect import Following, Newest, collected
from mesh.transport.nats.watch import NatsWatch, open_watch
from tests.contract.places import eventually
from tests.servers import RealServer

pytestmark = pytest.mark.server
LARGE = bytes(900_000)


@pytest.fixture
async def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    monkeypatch.setattr(feed, "HEARTBEAT", 0.2)
    with RealServer(tmp_path / "server") as server:
        async with await connect(ServerTarget(url=server.url)) as made:
            yield made


class _Meanwhile:
    """Does something before it lets the server send more for the first time."""

    def __init__(self, work: Callable[[], Awaitable[object]]) -> None:
        self._work = work
        self._doing: asyncio.Task[None] | None = None

    def flow(self, answer: Callable[[], None]) -> None:
        if self._doing is None:
            self._doing = asyncio.ensure_future(self._do(answer))
        else:
            answer()

    async def _do(self, answer: Callable[[], None]) -> None:
        await self._work()
        answer()


class _Interrupted(_Meanwhile, Newest):
    def __init__(self, work: Callable[[], Awaitable[object]]) -> None:
        Newest.__init__(self)
        _Meanwhile.__init__(self, work)


class _SlowToOpen(Following):
    """From the second time on it takes longer over the consumer that is there than a consumer may be silent."""

    opens = 0

    async def opened(self, pending: int) -> None:
        self.opens += 1
        if self.opens > 1:
            await asyncio.sleep(3 * feed.SILENCE)

    def receive(self, stored: Stored, pending: int) -> None:
        self.keep(stored)


async def test_a_feed_that_is_slow_to_open_again_is_opened_once(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it opens it is not silent: it would be made anew without end."""
    monkeypatch.setattr(feed, "SILENCE", 0.6)
    assert isinstance(connection.bus, NatsBus)
    await connection.store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
    following = _SlowToOpen(0)
    slow = feed.Feed(connection.bus, "S", ("s.>",), following)
    await slow.open()
    slow.reset()
    await eventually(lambda: following.opens == 2)
    await connection.store.append("s.a", b"1")
    await eventually(lambda: following.found)
    assert following.opens == 2
    await slow.close()


@pytest.mark.parametrize("gone", ["d", "de"])
async def test_a_list_of_which_some_is_removed_meanwhile_is_not_cut_there(connection: Connection, gone: str) -> None:
    """Where the next one is gone the server waits for a heartbeat, which is not the end."""
    assert isinstance(connection.bus, NatsBus)
    store = connection.store
    await store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
    for name in "abcdefgh":
        await store.append(f"s.{name}", LARGE)

    async def remove() -> None:
        for name in gone:
            await store.purge("S", f"s.{name}")

    found = (await collected(connection.bus, "S", "s.>", _Interrupted(remove))).found
    assert "".join(sorted(subject[2:] for subject in found)) == "abcdefgh".translate({ord(name): None for name in gone})


async def test_a_list_of_which_all_that_is_left_was_written_anew_is_whole(connection: Connection) -> None:
    """By then the server is at the list's end; what replaces it stands behind that."""
    assert isinstance(connection.bus, NatsBus)
    store = connection.store
    await store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
    for name in "abcdef":
        await store.append(f"s.{name}", LARGE)

    async def write_anew() -> None:
        for name in "def":
            await store.append(f"s.{name}", b"anew", headers={ROLLUP: "sub"})

    found = (await collected(connection.bus, "S", "s.>", _Interrupted(write_anew))).found
    assert {subject[2:]: each.data for subject, each in found.items()} == {
        **dict.fromkeys("abc", LARGE),
        **dict.fromkeys("def", b"anew"),
    }


class _WatchInterrupted(_Meanwhile, NatsWatch):
    """Interrupted when its feed begins again."""

    def __init__(self, work: Callable[[], Awaitable[object]], bus: NatsBus, told: list[KeyValue]) -> None:
        NatsWatch.__init__(self, bus, "B", told.append, ">", work)
        _Meanwhile.__init__(self, work)

    def begin_again(self) -> None:
        self._feed.reset()

    def flow(self, answer: Callable[[], None]) -> None:
        if self._current.done():
            super().flow(answer)
        else:
            answer()


async def test_a_watch_that_begins_again_tells_no_key_gone_that_is_written_anew_meanwhile(
    connection: Connection,
) -> None:
    """Those that have come already come again before those whose turn it was not yet."""
    assert isinstance(connection.bus, NatsBus)
    bucket = await connection.store.bucket(BucketSpec(name="B"))
    for key in "abcdef":
        await bucket.put(key, LARGE)

    async def write_anew() -> None:
        for key in "abcdef":
            await bucket.put(key, b"anew")

    told: list[KeyValue] = []
    watch = _WatchInterrupted(write_anew, connection.bus, told)
    await open_watch(watch)
    await asyncio.wait_for(watch.current, 30)
    told.clear()
    watch.begin_again()
    await eventually(lambda: len(told) >= 6)
    assert [(entry.key, entry.value) for entry in told] == [(key, b"anew") for key in "abcdef"]
    await watch.close()


async def test_a_watch_is_current_with_every_key_that_was_there_whatever_the_server_says_is_to_come(
    connection: Connection,
) -> None:
    """A key that is being written anew is not counted for a moment."""
    assert isinstance(connection.bus, NatsBus)
    bucket = await connection.store.bucket(BucketSpec(name="B"))
    for key in "ab":
        await bucket.put(key, b"")
    told: list[KeyValue] = []
    watch = NatsWatch(connection.bus, "B", told.append, ">", bucket.create)  # type: ignore[attr-defined]
    a, b = Stored("$KV.B.a", b"1", 1, 0.0), Stored("$KV.B.b", b"1", 3, 0.0)
    await watch.opened(2)
    watch.receive(a, 0)
    assert len(told) == 1
    assert not watch._current.done()
    watch.receive(b, 0)
    await asyncio.wait_for(watch.current, 30)
    await watch.opened(2)
    watch.receive(a, 0)
    watch.receive(b, 0)
    assert [(entry.key, entry.value) for entry in told] == [("a", b"1"), ("b", b"1")]
    await watch.close()


async def test_a_watch_does_not_wait_for_a_key_of_which_nothing_is_left(connection: Connection) -> None:
    """The marker of one that was deleted goes after a while; where others come all the time, no pause tells that it will not."""
    assert isinstance(connection.bus, NatsBus)
    bucket = await connection.store.bucket(BucketSpec(name="B"))
    for key in "ab":
        await bucket.put(key, b"")
    watch = NatsWatch(connection.bus, "B", lambda entry: None, ">", bucket.create)  # type: ignore[attr-defined]
    await watch.opened(2)
    await connection.store.purge("KV_B", "$KV.B.a")
    watch.receive(Stored("$KV.B.b", b"", 2, 0.0), 0)
    await asyncio.wait_for(watch.current, 30)
    await watch.close()
