"""`Objects` over a real server, in the layout of NATS object stores (`nats object ls` shows them).

Chunks come first, under a name of their own; the entry that names them last, and only where there is none. So an object is
either whole or not there, and two who store the same content at once store it once.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec

from mesh.protocols.errors import Conflict, NoResponders
from mesh.transport.nats.append import append, append_block
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.direct import get_last
from mesh.transport.nats.reading import read_from
from mesh.transport.nats.streams import ensure, object_store_config, object_stream, purge

CHUNK = 128 * 1024


class _Options(msgspec.Struct, frozen=True):
    max_chunk_size: int = CHUNK


class _Entry(msgspec.Struct):
    """What an object store says of one object."""

    name: str
    bucket: str
    nuid: str
    size: int
    chunks: int
    digest: str
    mtime: str
    options: _Options = _Options()


class NatsObjects:
    """Payloads by content digest."""

    def __init__(self, bus: NatsBus, name: str, replicas: int) -> None:
        self._bus = bus
        self._name = name
        self._replicas = replicas
        self._stream = object_stream(name)

    async def create(self) -> None:
        """Make the object store if it is missing. Again: nothing happens."""
        await ensure(self._bus, object_store_config(self._name, self._replicas))

    async def put(self, data: bytes) -> str:
        """Store, and return the digest. Again: the same digest, stored once."""
        digest = _digest(data)
        if await self._entry(digest) is not None:
            return digest
        nuid = self._bus.ids.uuid().replace("-", "")
        chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
        for chunk in chunks:
            await append(self._bus, self._chunk_subject(nuid), chunk)
        entry = _Entry(
            name=digest,
            bucket=self._name,
            nuid=nuid,
            size=len(data),
            chunks=len(chunks),
            digest="SHA-256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode(),
            mtime="0001-01-01T00:00:00Z",
        )
        try:
            await append(self._bus, self._entry_subject(digest), msgspec.json.encode(entry), append_block(expected=0))
        except Conflict:
            await self._purge(nuid)
        return digest

    async def get(self, digest: str) -> bytes:
        """The bytes, verified against the digest.

        Raises:
            KeyError: no such object, or its bytes are not what the digest says.
        """
        entry = await self._entry(digest)
        if entry is None:
            raise KeyError(digest)
        chunks = await read_from(self._bus, self._stream, self._chunk_subject(entry.nuid), 0) if entry.chunks else []
        data = b"".join(chunk.data for chunk in chunks)
        if _digest(data) != digest:
            raise KeyError(f"{digest}: the stored bytes are damaged")
        return data

    async def _entry(self, digest: str) -> _Entry | None:
        try:
            stored = await get_last(self._bus, self._stream, self._entry_subject(digest))
        except NoResponders:
            await self.create()
            return None
        return None if stored is None else msgspec.json.decode(stored.data, type=_Entry)

    async def _purge(self, nuid: str) -> None:
        await purge(self._bus, self._stream, self._chunk_subject(nuid))

    def _chunk_subject(self, nuid: str) -> str:
        return f"$O.{self._name}.C.{nuid}"

    def _entry_subject(self, digest: str) -> str:
        return f"$O.{self._name}.M.{base64.urlsafe_b64encode(digest.encode()).decode()}"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
