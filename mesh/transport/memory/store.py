"""One client's `Store` on a memory server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from mesh.protocols.errors import NoResponders, Refused, TimedOut, TooLarge, Unavailable
from mesh.protocols.ports import Ack, BucketSpec, Headers, Message, Stored, StreamSpec, StreamState
from mesh.transport.headers import EXPECTED, MESSAGE_ID
from mesh.transport.matching import check_subject
from mesh.transport.memory.consumer import MemoryConsumer
from mesh.transport.memory.keys import MemoryBucket
from mesh.transport.memory.objects import MemoryObjects

if TYPE_CHECKING:
    from mesh.protocols.snapshots import Snapshots
    from mesh.transport.memory.bus import MemoryBus
    from mesh.transport.memory.server import MemoryServer


class MemoryStore:
    """Streams, buckets and objects of the server, as far as this client's connection reaches."""

    def __init__(self, bus: MemoryBus, server: MemoryServer) -> None:
        self._bus = bus
        self._server = server

    async def ensure_stream(self, spec: StreamSpec) -> None:
        """Create the stream, or bring an existing one to this shape."""
        await self._ask()
        self._server.storage.ensure(spec)
        await self._bus.round_trip()

    async def streams(self, prefix: str) -> list[StreamState]:
        """Every stream whose name begins so."""
        await self._ask()
        found = self._server.storage.states(prefix)
        await self._bus.round_trip()
        return found

    async def append(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str = "",
        expected: int | None = None,
        headers: Headers | None = None,
        timeout: float = 5.0,
    ) -> Ack:
        """Publish into the stream that captures `subject`; lost connections and acks are `TimedOut`, as on a real one."""
        check_subject(subject)
        self._check_size(subject, data)
        self._bus.check_connected()
        message = Message(subject, data, "", _append_headers(headers, message_id, expected))
        faults = self._server.faults
        try:
            await self._bus.round_trip()
            if faults.strikes("lose-append", subject):
                await self._never_answered(subject, timeout)
            ack = self._append(message)
            if faults.strikes("lose-ack", subject):
                await self._never_answered(subject, timeout)
            await self._bus.round_trip()
        except Unavailable as error:
            raise TimedOut(
                f"the connection was lost while {subject} was appended: read back", detail=error.detail
            ) from error
        return ack

    async def read(self, stream: str, subject: str, *, after: int = 0) -> list[Stored]:
        """Every message on `subject` above `after`."""
        await self._ask()
        found = list(self._server.storage.log(stream).read(subject, after))
        await self._bus.round_trip()
        return found

    async def last(self, stream: str, subject: str) -> Stored | None:
        """The newest message on an exact subject."""
        await self._ask()
        found = self._server.storage.log(stream).last(subject)
        await self._bus.round_trip()
        return found

    async def last_each(self, stream: str, subjects: str, *, after: int = 0) -> list[Stored]:
        """The newest message of every subject that matches, where it is above `after`."""
        await self._ask()
        found = self._server.storage.log(stream).last_each(subjects, after)
        await self._bus.round_trip()
        return found

    async def purge(self, stream: str, subject: str, *, up_to: int | None = None) -> int:
        """Remove what is stored on matching subjects."""
        await self._ask()
        log = self._server.storage.log(stream)
        removed = log.purge(subject, log.last_sequence if up_to is None else up_to)
        await self._bus.round_trip()
        return removed

    async def counts(self, stream: str, subjects: str) -> dict[str, int]:
        """How many messages are stored on each subject that matches."""
        await self._ask()
        found = self._server.storage.log(stream).counts(subjects)
        await self._bus.round_trip()
        return found

    async def handled(self, stream: str, durable: str) -> int:
        """The sequence up to which that consumer is done with everything."""
        await self._ask()
        found = self._server.storage.handled(stream, durable)
        await self._bus.round_trip()
        return found

    async def follow(
        self, stream: str, subject: str, *, after: int | None = 0, since: float | None = None
    ) -> AsyncIterator[Stored]:
        """Every stored message from there on, then new ones as they come. It starts with the first iteration."""
        await self._ask()
        log = self._server.storage.log(stream)
        cursor = log.first_since(since) if since is not None else log.last_sequence if after is None else after
        news = asyncio.Event()
        self._server.storage.following(stream, news)
        self._bus.waking(news)
        try:
            while True:
                news.clear()
                self._bus.check_open()
                if self._bus.connected:
                    for stored in list(log.read(subject, cursor)):
                        cursor = stored.sequence
                        yield stored
                await news.wait()
        finally:
            self._server.storage.not_following(stream, news)
            self._bus.not_waking(news)

    async def consumer(
        self,
        stream: str,
        durable: str,
        subjects: tuple[str, ...],
        *,
        ack_wait: float = 30.0,
        max_deliver: int = 5,
        prefetch: int = 1,
    ) -> MemoryConsumer:
        """Open the durable consumer that all its peers share. Nothing is fetched ahead: nothing is far away here."""
        await self._ask()
        held = self._server.storage.durable(stream, durable)
        held.configure(subjects, ack_wait, max_deliver)
        await self._bus.round_trip()
        return MemoryConsumer(self._bus, self._server.storage, stream, held)

    async def buckets(self, prefix: str) -> list[BucketSpec]:
        """The buckets on disk whose names begin so."""
        await self._ask()
        found = self._server.storage.buckets(prefix)
        await self._bus.round_trip()
        return found

    async def bucket(self, spec: BucketSpec) -> MemoryBucket:
        """Open the bucket, creating it if needed."""
        await self._ask()
        space = self._server.storage.space(spec)
        await self._bus.round_trip()
        return MemoryBucket(self._bus, self._server.storage, space)

    async def objects(self, name: str) -> MemoryObjects:
        """Open the object store, creating it if needed."""
        await self._ask()
        await self._bus.round_trip()
        return MemoryObjects(self._bus, self._server.storage, name)

    def snapshots(self) -> Snapshots:
        """There are none.

        Raises:
            Refused: always.
        """
        raise Refused("this mesh is in memory: it is gone with its process, and there is nothing to save or put back")

    async def _ask(self) -> None:
        await self._bus.round_trip()
        self._server.storage.check()

    def _append(self, message: Message) -> Ack:
        log = self._server.storage.capturing(message.subject)
        if log is None:
            raise NoResponders(f"no stream captures {message.subject}, or JetStream is away")
        if self._server.faults.intercepted(message, lambda: self._server.broadcast(message)):
            self._server.broadcast(message)
        return self._server.storage.append(log, message)

    def _check_size(self, subject: str, data: bytes) -> None:
        limit = self._bus.max_payload
        if len(data) > limit:
            raise TooLarge(
                f"{len(data)} bytes to {subject}, {limit} are allowed", detail={"size": len(data), "limit": limit}
            )

    async def _never_answered(self, subject: str, timeout: float) -> None:
        await asyncio.sleep(timeout)
        raise TimedOut(f"no answer to the append to {subject} within {timeout:g} s: read back")


def _append_headers(headers: Headers | None, message_id: str, expected: int | None) -> dict[str, str] | None:
    merged = dict(headers or {})
    if message_id:
        merged[MESSAGE_ID] = message_id
    if expected is not None:
        merged[EXPECTED] = str(expected)
    return merged or None
