from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mesh.protocols.errors import MeshError, Unavailable
from mesh.protocols.ports import Store, Stored, StreamSpec
from mesh.transport.connection import Connection
from tests.contract.places import Place


@pytest.fixture
async def store(here: Connection, space: str) -> Store:
    await here.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",)))
    return here.store


async def _take(followed: AsyncIterator[Stored], count: int) -> list[bytes]:
    async with asyncio.timeout(30):
        return [(await anext(followed)).data for _ in range(count)]


async def _close(followed: AsyncIterator[Stored]) -> None:
    await followed.aclose()  # type: ignore[attr-defined]


async def test_following_gives_what_is_there_and_then_what_comes(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"1")
    await store.append(f"{space}.b", b"-")
    followed = store.follow(space, f"{space}.a")
    assert await _take(followed, 1) == [b"1"]
    waiting = asyncio.ensure_future(_take(followed, 2))
    await store.append(f"{space}.a", b"2")
    await store.append(f"{space}.a", b"3")
    assert await waiting == [b"2", b"3"]
    await _close(followed)


async def test_following_starts_after_a_sequence(store: Store, space: str) -> None:
    for number in range(1, 4):
        await store.append(f"{space}.a", b"%d" % number)
    followed = store.follow(space, f"{space}.>", after=1)
    assert await _take(followed, 2) == [b"2", b"3"]
    await _close(followed)


async def test_following_starts_at_a_time(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"old")
    await asyncio.sleep(0.05)
    await store.append(f"{space}.a", b"new")
    last = await store.last(space, f"{space}.a")
    assert last is not None
    followed = store.follow(space, f"{space}.a", since=last.time - 0.02)
    assert await _take(followed, 1) == [b"new"]
    await _close(followed)


async def test_following_only_what_is_new(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"old")
    followed = store.follow(space, f"{space}.a", after=None)
    waiting = asyncio.ensure_future(_take(followed, 1))
    while not waiting.done():
        await store.append(f"{space}.a", b"new")
        await asyncio.sleep(0.01)
    assert await waiting == [b"new"]
    await _close(followed)


async def test_a_slow_reader_gets_everything(store: Store, space: str) -> None:
    await asyncio.gather(*(store.append(f"{space}.a", b"%06d" % n + bytes(2000), timeout=60) for n in range(1000)))
    followed = store.follow(space, f"{space}.a")
    sequences = []
    async with asyncio.timeout(40):
        async for stored in followed:
            sequences.append(stored.sequence)
            if len(sequences) % 100 == 0:
                await asyncio.sleep(0.01)
            if len(sequences) == 1000:
                break
    assert sequences == list(range(1, 1001))
    await _close(followed)


async def test_following_a_stream_that_does_not_exist_fails(here: Connection, space: str) -> None:
    with pytest.raises(MeshError):
        await anext(here.store.follow(f"{space}-none", "x"))


async def test_a_closed_connection_ends_the_following(place: Place, store: Store, space: str) -> None:
    connection = await place.connect()
    await store.append(f"{space}.a", b"1")
    followed = connection.store.follow(space, f"{space}.a")
    assert await _take(followed, 1) == [b"1"]
    waiting = asyncio.ensure_future(anext(followed))
    await asyncio.sleep(0)
    await connection.close()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(waiting, 30)
