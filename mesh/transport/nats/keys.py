"""`Bucket` over a real server: compare-and-set and TTL by headers, and a lost memory bucket made anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from mesh.protocols.errors import Conflict, NoResponders
from mesh.protocols.ports import BucketSpec, KeyValue, Stored
from mesh.transport.headers import KV_OPERATION, ROLLUP, TTL
from mesh.transport.matching import check_subject
from mesh.transport.nats.api import MissingStream, settled
from mesh.transport.nats.append import append, append_block
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.direct import get_last
from mesh.transport.nats.reading import newest_of_each
from mesh.transport.nats.stored import key_value
from mesh.transport.nats.streams import MARKER_TTL, bucket_config, bucket_stream, ensure
from mesh.transport.nats.watch import NatsWatch, open_watch

T = TypeVar("T")


class NatsBucket:
    """Keys with revisions."""

    def __init__(self, bus: NatsBus, spec: BucketSpec, replicas: int) -> None:
        self._bus = bus
        self._spec = spec
        self._replicas = replicas
        self._stream = bucket_stream(spec.name)
        self._subjects = f"$KV.{spec.name}."

    async def create(self) -> None:
        """Make the bucket if it is missing. Again: nothing happens."""
        await ensure(self._bus, bucket_config(self._spec, self._replicas))

    async def get(self, key: str) -> KeyValue | None:
        """The live value, or None."""
        entry = await self._newest(key)
        return entry if entry is not None and entry.value is not None else None

    async def put(self, key: str, value: bytes, *, ttl: int | None = None, revision: int | None = None) -> int:
        """Write, and return the new revision."""
        headers = {} if ttl is None else {TTL: str(ttl)}
        try:
            return await self._write(key, value, headers, revision)
        except Conflict:
            if revision != 0:
                raise
            marker = await self._newest(key)
            if marker is not None and marker.value is not None:
                raise
        return await self._write(key, value, headers, 0 if marker is None else marker.revision)

    async def delete(self, key: str, *, revision: int | None = None) -> None:
        """Purge the key; watchers are told."""
        headers = {KV_OPERATION: "PURGE", ROLLUP: "sub", TTL: str(MARKER_TTL)}
        await self._write(key, b"", headers, revision)

    async def all(self) -> list[KeyValue]:
        """Every live key."""
        found = await self._present(lambda: newest_of_each(self._bus, self._stream, f"{self._subjects}>"))
        entries = [key_value(stored, len(self._subjects)) for stored in found]
        return [entry for entry in entries if entry.value is not None]

    async def watch(self, handler: Callable[[KeyValue], None], *, keys: str = ">") -> NatsWatch:
        """Call `handler` with every live value, then with every change."""
        return await open_watch(NatsWatch(self._bus, self._spec.name, handler, keys, self.create))

    async def _newest(self, key: str) -> KeyValue | None:
        subject = self._subjects + key
        check_subject(subject)

        async def read() -> Stored | None:
            return await get_last(self._bus, self._stream, subject)

        stored = await self._present(read)
        return None if stored is None else key_value(stored, len(self._subjects))

    async def _write(self, key: str, value: bytes, headers: dict[str, str], revision: int | None) -> int:
        block = append_block("", revision, headers)
        ack = await self._present(lambda: append(self._bus, self._subjects + key, value, block))
        return ack.sequence

    async def _present(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do it; if the bucket is gone (a memory bucket after a server restart), make it anew and do it once more. It is there
        then, and where its cluster elects the one who takes what is written, that is waited for."""
        try:
            return await work()
        except (NoResponders, MissingStream):
            await self.create()
        return await settled(self._bus, work, unsettled=NoResponders)
