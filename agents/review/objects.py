"""Moving the bytes of a change set into the object store and out of it, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from mesh.agents.review.changes import Blobs
from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import Objects

AT_ONCE = 8


async def keep(objects: Objects, blobs: Mapping[str, bytes]) -> None:
    """Store every blob under its digest. Again: stored once."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(data: bytes) -> None:
        async with limit:
            await objects.put(data)

    await asyncio.gather(*map(one, blobs.values()))


async def fetch(objects: Objects, digests: Iterable[str]) -> Blobs:
    """The bytes behind each digest.

    Raises:
        Unavailable: one of them is not in the store.
    """
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(digest: str) -> tuple[str, bytes]:
        async with limit:
            try:
                return digest, await objects.get(digest)
            except KeyError:
                raise Unavailable(f"the object {digest} of the change set is not in the object store") from None

    return dict(await asyncio.gather(*map(one, dict.fromkeys(digests))))
