"""One client's view of an object store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mesh.protocols.errors import Conflict
from mesh.protocols.ports import FRESH, StoredObject

if TYPE_CHECKING:
    from mesh.transport.memory.bus import MemoryBus
    from mesh.transport.memory.storage import Storage


class MemoryObjects:
    """Payloads by content digest."""

    def __init__(self, bus: MemoryBus, storage: Storage, name: str) -> None:
        self._bus = bus
        self._storage = storage
        self._held = storage.objects.setdefault(name, {})

    async def put(self, data: bytes) -> str:
        """Store, and return the digest. Again: the same digest, stored once."""
        await self._ask()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._storage.keep_object(self._held, digest, bytes(data), FRESH)
        await self._bus.round_trip()
        return digest

    async def get(self, digest: str) -> bytes:
        """The bytes.

        Raises:
            KeyError: no such object.
        """
        await self._ask()
        return self._held[digest].data

    async def all(self) -> list[StoredObject]:
        """Every object, the one put longest ago first."""
        await self._ask()
        found = [
            StoredObject(digest=digest, size=len(each.data), time=each.time, revision=each.revision)
            for digest, each in self._held.items()
        ]
        return sorted(found, key=lambda each: each.revision)

    async def delete(self, found: StoredObject) -> None:
        """Remove the object, if nobody has put it again since."""
        await self._ask()
        there = self._held.get(found.digest)
        if there is not None and there.revision != found.revision:
            raise Conflict(f"object {found.digest} was put again: it stays")
        self._held.pop(found.digest, None)
        await self._bus.round_trip()

    async def tidy(self, before: float) -> int:
        """Nothing to do: what is put here is whole."""
        return 0

    async def _ask(self) -> None:
        await self._bus.round_trip()
        self._storage.check()
