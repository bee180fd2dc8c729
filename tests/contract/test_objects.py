from __future__ import annotations

import asyncio
import hashlib

import pytest

from mesh.protocols.errors import Conflict
from mesh.transport.connection import Connection


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1, 3_000_000])
async def test_what_is_put_comes_back_by_its_digest(here: Connection, there: Connection, space: str, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    digest = await (await here.store.objects(space)).put(data)
    assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert await (await there.store.objects(space)).get(digest) == data


async def test_putting_again_gives_the_same_digest(here: Connection, space: str) -> None:
    objects = await here.store.objects(space)
    assert await objects.put(b"x" * 300_000) == await objects.put(b"x" * 300_000)


async def test_putting_the_same_at_once_leaves_one_whole_object(here: Connection, space: str) -> None:
    objects = await here.store.objects(space)
    data = b"y" * 300_000
    digests = await asyncio.gather(*(objects.put(data) for _ in range(5)))
    assert len(set(digests)) == 1
    assert await objects.get(digests[0]) == data


async def test_an_unknown_digest_is_a_key_error(here: Connection, space: str) -> None:
    with pytest.raises(KeyError):
        await (await here.store.objects(space)).get("sha256:" + "0" * 64)


async def test_objects_are_listed_with_their_size_and_when_they_were_put(here: Connection, space: str) -> None:
    objects = await here.store.objects(space)
    assert await objects.all() == []
    digests = [await objects.put(bytes([number]) * size) for number, size in enumerate((3, 200_000))]
    found = await objects.all()
    assert [(each.digest, each.size) for each in found] == [(digests[0], 3), (digests[1], 200_000)]
    assert 0 < found[0].time <= found[1].time


async def test_a_removed_object_is_gone_and_may_be_put_again(here: Connection, space: str) -> None:
    objects = await here.store.objects(space)
    digest = await objects.put(b"z" * 200_000)
    (found,) = await objects.all()
    await objects.delete(found)
    await objects.delete(found)
    assert await objects.all() == []
    with pytest.raises(KeyError):
        await objects.get(digest)
    assert await objects.put(b"z" * 200_000) == digest
    assert await objects.get(digest) == b"z" * 200_000


async def test_an_object_that_was_put_again_is_not_removed_by_who_saw_the_old_one(here: Connection, space: str) -> None:
    objects = await here.store.objects(space)
    digest = await objects.put(b"again")
    (old,) = await objects.all()
    await objects.delete(old)
    await objects.put(b"again")
    with pytest.raises(Conflict):
        await objects.delete(old)
    assert await objects.get(digest) == b"again"


async def test_tidying_takes_nothing_that_is_whole(here: Connection, space: str) -> None:
    objects = await here.store.objects(space)
    digests = [await objects.put(data) for data in (b"", b"small", b"t" * 300_000)]
    assert await objects.tidy(4e9) == 0
    assert [len(await objects.get(digest)) for digest in digests] == [0, 5, 300_000]
