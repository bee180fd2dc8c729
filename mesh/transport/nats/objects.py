"""`Objects` over a real server, in the layout of NATS object stores (`nats object ls` shows them).

Chunks come first, under a name of their own; the entry that names them last, and only where there is none. So an object is
either whole or not there, and two who store the same content at once store it once. An entry is replaced, by
compare-and-set, when its object is put again after a while, so that nobody removes as old what was just put; and when the
object is removed, before its chunks are. The chunks of a put that fails are removed as well as can be; what is left of one
that was killed, or whose entry may yet come, is nobody's until `tidy`.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec

from mesh.protocols.errors import Conflict, MeshError, NoResponders, TimedOut
from mesh.protocols.ports import FRESH, Stored, StoredObject
from mesh.transport.headers import ROLLUP
from mesh.transport.nats import leader
from mesh.transport.nats.api import PREFIX
from mesh.transport.nats.append import append, append_block
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.direct import get_last
from mesh.transport.nats.inventory import counts
from mesh.transport.nats.reading import newest_of_each, read_from
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
    deleted: bool = False


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
        while not await self._put(digest, data):
            pass
        return digest

    async def _put(self, digest: str, data: bytes) -> bool:
        """Whether it is there now; False: somebody changed its entry meanwhile, look again."""
        there = await self._last(digest)
        entry = _entry_of(there)
        if there is not None and entry is not None:
            return self._bus.clock.now() - there.time < FRESH or await self._write(digest, entry, there.sequence)
        nuid = self._bus.ids.uuid().replace("-", "")
        chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
        try:
            for chunk in chunks:
                await append(self._bus, self._chunk_subject(nuid), chunk)
        except BaseException:
            self._abandon(nuid)
            raise
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
            written = await self._write(digest, entry, 0 if there is None else there.sequence)
        except TimedOut:
            raise  # the entry may be on its way in, even if it cannot be read yet
        except MeshError:
            self._abandon(nuid)
            raise
        if not written:
            await self._purge(nuid)
        return written

    async def get(self, digest: str) -> bytes:
        """The bytes, verified against the digest. A replica that answers may lag behind: only its leader knows what is not there.

        Raises:
            KeyError: no such object, or its bytes are not what the digest says.
        """
        entry = _entry_of(await self._last(digest))
        if entry is not None:
            chunks = (
                await read_from(self._bus, self._stream, self._chunk_subject(entry.nuid), 0) if entry.chunks else []
            )
            data = b"".join(chunk.data for chunk in chunks)
            if _digest(data) == digest:
                return data
        return await self._from_leader(digest)

    async def _from_leader(self, digest: str) -> bytes:
        entry = _entry_of(await leader.newest(self._bus, self._stream, self._entry_subject(digest)))
        if entry is None:
            raise KeyError(digest)
        chunks = (
            await leader.everything(self._bus, self._stream, self._chunk_subject(entry.nuid)) if entry.chunks else []
        )
        data = b"".join(chunk.data for chunk in chunks)
        if _digest(data) != digest:
            raise KeyError(f"{digest}: the stored bytes are damaged")
        return data

    async def all(self) -> list[StoredObject]:
        """Every object, the one put longest ago first."""
        found: list[StoredObject] = []
        for each in await newest_of_each(self._bus, self._stream, f"$O.{self._name}.M.>"):
            entry = msgspec.json.decode(each.data, type=_Entry)
            if entry.deleted:
                await self._forget(entry.name, each)  # whoever removed it was interrupted
            else:
                found.append(StoredObject(digest=entry.name, size=entry.size, time=each.time, revision=each.sequence))
        return found

    async def delete(self, found: StoredObject) -> None:
        """Remove the object, if nobody has put it again since."""
        there = await self._last(found.digest)
        entry = _entry_of(there)
        if there is None or entry is None:
            await self._forget(found.digest, there)
            return
        gone = msgspec.structs.replace(entry, deleted=True)
        if there.sequence != found.revision or not await self._write(found.digest, gone, there.sequence):
            raise Conflict(f"object {found.digest} was put again: it stays")
        await self._purge(entry.nuid)
        await self._forget(found.digest, await self._last(found.digest))

    async def tidy(self, before: float) -> int:
        """Remove the chunks that no entry names and the last of which is older than that; of how many puts those were.

        An entry is replaced once in a while, when its object is put again, and a list may lack one at that moment: so what
        names them is read twice.
        """
        begun = await counts(self._bus, self._stream, self._chunk_subject("*"))
        for _ in range(2):
            for each in await newest_of_each(self._bus, self._stream, f"$O.{self._name}.M.>"):
                begun.pop(self._chunk_subject(msgspec.json.decode(each.data, type=_Entry).nuid), None)
        left = 0
        for subject in begun:
            newest = await get_last(self._bus, self._stream, subject)
            if newest is not None and newest.time < before:
                await purge(self._bus, self._stream, subject)
                left += 1
        return left

    async def _forget(self, digest: str, marker: Stored | None) -> None:
        """Remove the entry that says that it is gone; one that came after it stays."""
        if marker is not None and _entry_of(marker) is None:
            await self._purge(msgspec.json.decode(marker.data, type=_Entry).nuid)
            await purge(self._bus, self._stream, self._entry_subject(digest), marker.sequence)

    async def _write(self, digest: str, entry: _Entry, over: int) -> bool:
        """Replace exactly that entry; False: another one is there."""
        block = append_block(expected=over, headers={ROLLUP: "sub"})
        try:
            await append(self._bus, self._entry_subject(digest), msgspec.json.encode(entry), block)
        except Conflict:
            return False
        return True

    async def _last(self, digest: str) -> Stored | None:
        try:
            return await get_last(self._bus, self._stream, self._entry_subject(digest))
        except NoResponders:
            await self.create()
            return None

    def _abandon(self, nuid: str) -> None:
        """Have the chunks removed if that can be said now: whoever put them has failed, and waits for nothing more."""
        if self._bus.connected:
            question = msgspec.json.encode({"filter": self._chunk_subject(nuid)})
            self._bus.answer((f"{PREFIX}STREAM.PURGE.{self._stream}".encode(),), question)

    async def _purge(self, nuid: str) -> None:
        await purge(self._bus, self._stream, self._chunk_subject(nuid))

    def _chunk_subject(self, nuid: str) -> str:
        return f"$O.{self._name}.C.{nuid}"

    def _entry_subject(self, digest: str) -> str:
        return f"$O.{self._name}.M.{base64.urlsafe_b64encode(digest.encode()).decode()}"


def _entry_of(stored: Stored | leader.Held | None) -> _Entry | None:
    """What is there; nothing where an object was removed."""
    entry = None if stored is None else msgspec.json.decode(stored.data, type=_Entry)
    return None if entry is None or entry.deleted else entry


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
