"""One client's view of an object store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

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
        self._held.setdefault(digest, bytes(data))
        await self._bus.round_trip()
        return digest

    async def get(self, digest: str) -> bytes:
        """The bytes.

        Raises:
            KeyError: no such object.
        """
        await self._ask()
        return self._held[digest]

    async def _ask(self) -> None:
        await self._bus.round_trip()
        self._storage.check()
