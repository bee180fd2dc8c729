"""What is stored, and how far those are who take it out: asked of the store itself."""

from __future__ import annotations

import pytest

from mesh.protocols.errors import Refused
from mesh.protocols.ports import BucketSpec, StreamSpec
from mesh.transport.connection import Connection
from tests.contract.places import Place, RealPlace, eventually_none


async def test_streams_are_found_by_how_their_name_begins(here: Connection, space: str) -> None:
    for name in ("b", "a", "c"):
        await here.store.ensure_stream(StreamSpec(name=f"{space}_{name}", subjects=(f"{space}.{name}.>",)))
    await here.store.append(f"{space}.b.1", b"one")
    await here.store.append(f"{space}.b.2", b"two")
    await here.store.purge(f"{space}_b", f"{space}.b.1")
    found = await here.store.streams(f"{space}_")
    assert [each.name for each in found] == [f"{space}_a", f"{space}_b", f"{space}_c"]
    assert [(each.messages, each.first, each.last) for each in found][1] == (1, 2, 2)
    assert [each.limit for each in found] == [None] * 3
    assert found[1].size > found[0].size == 0
    assert await here.store.streams(f"{space}_d") == []


async def test_messages_are_counted_by_subject(here: Connection, space: str) -> None:
    await here.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",)))
    for subject in ("a.1", "a.1", "a.2", "b.1"):
        await here.store.append(f"{space}.{subject}", b"")
    assert await here.store.counts(space, f"{space}.a.*") == {f"{space}.a.1": 2, f"{space}.a.2": 1}
    assert await here.store.counts(space, f"{space}.c.*") == {}


async def test_what_a_consumer_is_done_with_counts_without_gaps(here: Connection, space: str) -> None:
    await here.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",)))
    assert await here.store.handled(space, "worker") == 0
    consumer = await here.store.consumer(space, "worker", (f"{space}.>",))
    for number in range(3):
        await here.store.append(f"{space}.{number}", b"")
    first, second, third = [await consumer.next(30) for _ in range(3)]
    assert first is not None
    assert second is not None
    assert third is not None
    await first.ack()
    await third.ack()

    async def until_handled(sequence: int) -> None:
        async def missing() -> bool:
            return await here.store.handled(space, "worker") != sequence

        await eventually_none(missing)

    await until_handled(1)
    await second.ack()
    await until_handled(3)
    await consumer.close()


async def test_a_mesh_in_memory_has_nothing_to_save(place: Place, here: Connection, space: str) -> None:
    if isinstance(place, RealPlace):
        await here.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",)))
        assert (await here.store.snapshots().version()).count(".") == 2
    else:
        with pytest.raises(Refused, match="in memory"):
            here.store.snapshots()


async def test_buckets_on_disk_are_found_by_how_their_name_begins(here: Connection, space: str) -> None:
    spec = BucketSpec(name=f"{space}_b", storage="file", description="kept")
    await (await here.store.bucket(spec)).put("key", b"value")
    await here.store.bucket(BucketSpec(name=f"{space}_a"))
    assert await here.store.buckets(f"{space}_") == [spec]
    assert await here.store.buckets(f"{space}_c") == []
