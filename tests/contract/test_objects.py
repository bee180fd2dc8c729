from __future__ import annotations

import asyncio
import hashlib

import pytest

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
