from __future__ import annotations

import asyncio
import itertools
import logging
import time
from contextlib import suppress

import pytest

from mesh.protocols.errors import Conflict, Unavailable
from mesh.protocols.ports import Bucket, BucketSpec, KeyValue
from mesh.transport.connection import Connection
from tests.contract.places import Place, eventually


@pytest.fixture
async def bucket(here: Connection, space: str) -> Bucket:
    return await here.store.bucket(BucketSpec(name=space))


def _said(heard: list[KeyValue]) -> list[tuple[str, bytes | None]]:
    return [(entry.key, entry.value) for entry in heard]


async def test_a_key_is_what_was_last_put(bucket: Bucket) -> None:
    assert await bucket.get("a.b") is None
    first = await bucket.put("a.b", b"1")
    second = await bucket.put("a.b", b"2")
    assert await bucket.get("a.b") == KeyValue("a.b", b"2", second)
    assert second > first


async def test_the_bucket_is_the_same_for_all_who_open_it(bucket: Bucket, there: Connection, space: str) -> None:
    await bucket.put("a", b"1")
    found = await (await there.store.bucket(BucketSpec(name=space))).get("a")
    assert found is not None
    assert found.value == b"1"


async def test_a_guarded_put_succeeds_only_over_that_revision(bucket: Bucket) -> None:
    first = await bucket.put("a", b"1", revision=0)
    with pytest.raises(Conflict):
        await bucket.put("a", b"2", revision=0)
    second = await bucket.put("a", b"2", revision=first)
    with pytest.raises(Conflict):
        await bucket.put("a", b"3", revision=first)
    assert await bucket.get("a") == KeyValue("a", b"2", second)


async def test_of_many_who_claim_a_key_exactly_one_wins(bucket: Bucket) -> None:
    results = await asyncio.gather(
        *(bucket.put("lease", b"%d" % n, ttl=30, revision=0) for n in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, int) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 19


async def test_a_deleted_key_is_gone_and_can_be_claimed_again(bucket: Bucket) -> None:
    await bucket.put("a", b"1", revision=0)
    await bucket.delete("a")
    assert await bucket.get("a") is None
    assert await bucket.all() == []
    again = await bucket.put("a", b"2", revision=0)
    assert await bucket.get("a") == KeyValue("a", b"2", again)


async def test_a_guarded_delete_spares_another_revision(bucket: Bucket) -> None:
    old = await bucket.put("a", b"1")
    new = await bucket.put("a", b"2")
    with pytest.raises(Conflict):
        await bucket.delete("a", revision=old)
    assert await bucket.get("a") is not None
    await bucket.delete("a", revision=new)
    assert await bucket.get("a") is None


async def test_a_key_with_a_ttl_expires_is_heard_of_and_can_be_claimed_again(bucket: Bucket) -> None:
    heard: list[KeyValue] = []
    watch = await bucket.watch(heard.append)
    await bucket.put("lease", b"1", ttl=1, revision=0)
    await eventually(lambda: _said(heard) == [("lease", b"1"), ("lease", None)])
    assert await bucket.get("lease") is None
    assert await bucket.all() == []
    assert await bucket.put("lease", b"2", ttl=1, revision=0) > 0
    await watch.close()


async def test_renewing_a_key_postpones_its_expiry(bucket: Bucket) -> None:
    for number in itertools.count():
        if await _outlasts_its_ttl(bucket, f"lease-{number}"):
            return


async def _outlasts_its_ttl(bucket: Bucket, key: str) -> bool:
    """Whether a key is there that was renewed for longer than it lasts; for certain, unless everything stood still meanwhile."""
    renewed = time.monotonic()
    revision = await bucket.put(key, b"1", ttl=2, revision=0)
    for _ in range(24):
        await asyncio.sleep(0.1)
        now = time.monotonic()
        try:
            revision = await bucket.put(key, b"1", ttl=2, revision=revision)
        except Conflict:
            assert time.monotonic() - renewed > 1.0
            return False
        renewed = now
    there = await bucket.get(key) is not None
    assert there or time.monotonic() - renewed > 1.0
    return there


async def test_a_put_without_ttl_makes_the_key_stay(bucket: Bucket) -> None:
    await bucket.put("a", b"1", ttl=1)
    await bucket.put("a", b"2")
    await asyncio.sleep(1.5)
    assert await bucket.get("a") is not None


async def test_all_gives_every_live_key(bucket: Bucket) -> None:
    for key in ("a", "b", "c.d"):
        await bucket.put(key, key.encode())
    await bucket.delete("b")
    assert {entry.key: entry.value for entry in await bucket.all()} == {"a": b"a", "c.d": b"c.d"}


async def test_all_gives_more_keys_than_fit_in_one_answer(bucket: Bucket) -> None:
    await asyncio.gather(*(bucket.put(f"k{n}", b"") for n in range(1500)))
    assert len(await bucket.all()) == 1500


async def test_a_watch_tells_what_is_there_then_what_changes(bucket: Bucket) -> None:
    await bucket.put("a", b"1")
    await bucket.put("b", b"1")
    await bucket.delete("b")
    heard: list[KeyValue] = []
    watch = await bucket.watch(heard.append)
    await asyncio.wait_for(watch.current, 30)
    assert _said(heard) == [("a", b"1")]
    await bucket.put("a", b"2")
    await eventually(lambda: _said(heard) == [("a", b"1"), ("a", b"2")])
    await bucket.delete("a")
    await eventually(lambda: _said(heard) == [("a", b"1"), ("a", b"2"), ("a", None)])
    await watch.close()


async def test_a_watch_on_an_empty_bucket_is_current_at_once(bucket: Bucket) -> None:
    heard: list[KeyValue] = []
    watch = await bucket.watch(heard.append)
    await asyncio.wait_for(watch.current, 30)
    assert heard == []
    await watch.close()


async def test_a_watch_hears_only_its_keys(bucket: Bucket) -> None:
    heard: list[KeyValue] = []
    watch = await bucket.watch(heard.append, keys="proc.*")
    for key in ("proc.a", "other", "proc.a.b", "proc.b"):
        await bucket.put(key, b"")
    await eventually(lambda: len(heard) >= 2)
    assert [entry.key for entry in heard] == ["proc.a", "proc.b"]
    await watch.close()


async def test_a_closed_watch_hears_nothing_and_may_be_closed_again(bucket: Bucket) -> None:
    closed: list[KeyValue] = []
    running: list[KeyValue] = []
    watch = await bucket.watch(closed.append)
    other = await bucket.watch(running.append)
    await watch.close()
    await watch.close()
    await bucket.put("a", b"1")
    await eventually(lambda: running)
    assert closed == []
    await other.close()


async def test_a_watch_handler_that_raises_is_logged_and_hears_the_next_change(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[KeyValue] = []

    def handler(entry: KeyValue) -> None:
        heard.append(entry)
        raise ValueError("broken watcher")

    with caplog.at_level(logging.ERROR, "mesh.transport"):
        watch = await bucket.watch(handler)
        await bucket.put("a", b"1")
        await bucket.put("b", b"2")  # another key: a value that is replaced at once need not be heard by anybody
        await eventually(lambda: [entry.key for entry in heard] == ["a", "b"])
    assert "broken watcher" in caplog.text
    await watch.close()


async def test_who_waits_for_what_is_there_hears_of_the_end_of_the_connection(
    bucket: Bucket, place: Place, space: str
) -> None:
    await asyncio.gather(*(bucket.put(f"k{number}", bytes(2000)) for number in range(500)))
    connection = await place.connect()
    watch = await (await connection.store.bucket(BucketSpec(name=space))).watch(lambda entry: None)
    current = asyncio.ensure_future(watch.current)
    await connection.close()
    await asyncio.wait({current}, timeout=30)
    assert current.done()
    with suppress(Unavailable):
        await current
    await watch.close()
