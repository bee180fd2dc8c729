"""One client's `Store` over the simulated network: questions that travel, and answers that may not come."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from mesh.protocols.errors import Conflict, NoResponders, Refused, TimedOut, TooLarge, Unavailable
from mesh.protocols.ports import (
    FRESH,
    Ack,
    BucketSpec,
    Headers,
    KeyValue,
    Message,
    Stored,
    StoredObject,
    StreamSpec,
    StreamState,
)
from mesh.transport.headers import EXPECTED, MESSAGE_ID
from mesh.transport.matching import check_subject
from tests.simulation.client import SimulatedBus
from tests.simulation.consumer import SimulatedConsumer
from tests.simulation.feeds import SimulatedWatch, follow
from tests.simulation.server import SimulatedServer
from tests.simulation.storage import LateSpace

if TYPE_CHECKING:
    from mesh.protocols.snapshots import Snapshots

Work = Callable[[SimulatedServer], Any]


class SimulatedStore:
    """Streams, buckets and objects, as far as this client's connection reaches."""

    def __init__(self, bus: SimulatedBus) -> None:
        self._bus = bus

    def _ask(self, work: Work, what: str) -> Coroutine[Any, Any, Any]:
        return self._bus.ask("ask", work, what=what)

    async def ensure_stream(self, spec: StreamSpec) -> None:
        """Create the stream, or bring an existing one to this shape."""
        await self._ask(lambda server: server.storage.ensure(spec), f"the making of {spec.name}")

    async def streams(self, prefix: str) -> list[StreamState]:
        """Every stream whose name begins so."""
        return await self._ask(lambda server: server.storage.states(prefix), "the list of streams")

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
        """Publish into the stream that captures `subject`."""
        check_subject(subject)
        limit = self._bus.max_payload
        if len(data) > limit:
            raise TooLarge(
                f"{len(data)} bytes to {subject}, {limit} are allowed", detail={"size": len(data), "limit": limit}
            )
        self._bus.check_connected()
        message = Message(subject, data, "", _headers(headers, message_id, expected))
        try:
            return await self._bus.ask("append", message, timeout=timeout, what=f"the append to {subject}: read back")
        except Unavailable as error:
            if error.detail.get("sent"):
                raise TimedOut(f"the connection was lost while {subject} was appended: read back") from error
            raise

    async def read(self, stream: str, subject: str, *, after: int = 0) -> list[Stored]:
        """Every message on `subject` above `after`."""
        return await self._ask(
            lambda server: server.fresh(list(server.storage.log(stream).read(subject, after))), f"a read of {stream}"
        )

    async def last(self, stream: str, subject: str) -> Stored | None:
        """The newest message on an exact subject."""

        def work(server: SimulatedServer) -> Stored | None:
            log = server.storage.log(stream)
            newest = log.last(subject)
            if newest is None or server.fresh([newest]):
                return newest
            found = server.fresh(list(log.read(subject, 0)))
            return found[-1] if found else None

        return await self._ask(work, f"the last of {subject}")

    async def last_each(self, stream: str, subjects: str, *, after: int = 0) -> list[Stored]:
        """The newest message of every subject that matches, where it is above `after`."""

        def work(server: SimulatedServer) -> list[Stored]:
            log = server.storage.log(stream)
            found = log.last_each(subjects, after)
            fresh = server.fresh(found)
            if len(fresh) == len(found):
                return found
            newest: dict[str, Stored] = {each.subject: each for each in server.fresh(list(log.read(subjects, after)))}
            return sorted(newest.values(), key=lambda each: each.sequence)

        return await self._ask(work, f"a read of {stream}")

    async def purge(self, stream: str, subject: str, *, up_to: int | None = None) -> int:
        """Remove what is stored on matching subjects."""

        def work(server: SimulatedServer) -> int:
            log = server.storage.log(stream)
            return log.purge(subject, log.last_sequence if up_to is None else up_to)

        return await self._ask(work, f"a purge of {stream}")

    async def counts(self, stream: str, subjects: str) -> dict[str, int]:
        """How many messages are stored on each subject that matches."""
        return await self._ask(lambda server: server.storage.log(stream).counts(subjects), f"the counts of {stream}")

    async def handled(self, stream: str, durable: str) -> int:
        """The sequence up to which that consumer is done with everything."""
        return await self._ask(lambda server: server.storage.handled(stream, durable), f"the state of {durable}")

    def follow(
        self, stream: str, subject: str, *, after: int | None = 0, since: float | None = None
    ) -> AsyncIterator[Stored]:
        """Every stored message from there on, then new ones as they come."""
        return follow(self._bus, stream, subject, after, since)

    async def consumer(
        self,
        stream: str,
        durable: str,
        subjects: tuple[str, ...],
        *,
        ack_wait: float = 30.0,
        max_deliver: int = 5,
        prefetch: int = 1,
    ) -> SimulatedConsumer:
        """Open the durable consumer that all its peers share. Nothing is fetched ahead."""

        def work(server: SimulatedServer) -> None:
            server.storage.durable(stream, durable).configure(subjects, ack_wait, max_deliver)

        await self._ask(work, f"the opening of {durable}")
        return SimulatedConsumer(self._bus, stream, durable)

    async def buckets(self, prefix: str) -> list[BucketSpec]:
        """The buckets on disk whose names begin so."""
        return await self._ask(lambda server: server.storage.buckets(prefix), "the list of buckets")

    async def bucket(self, spec: BucketSpec) -> SimulatedBucket:
        """Open the bucket, creating it if needed."""
        await self._ask(lambda server: server.storage.space(spec) and None, f"the opening of {spec.name}")
        return SimulatedBucket(self._bus, spec)

    async def objects(self, name: str) -> SimulatedObjects:
        """Open the object store, creating it if needed."""
        await self._ask(lambda server: server.storage.objects.setdefault(name, {}) and None, f"the opening of {name}")
        return SimulatedObjects(self._bus, name)

    def snapshots(self) -> Snapshots:
        """There are none.

        Raises:
            Refused: always.
        """
        raise Refused("this mesh is in memory: it is gone with its process, and there is nothing to save or put back")


class SimulatedBucket:
    """Keys with revisions."""

    def __init__(self, bus: SimulatedBus, spec: BucketSpec) -> None:
        self._bus = bus
        self._spec = spec

    def _ask(self, work: Callable[[LateSpace, SimulatedServer], Any], what: str) -> Coroutine[Any, Any, Any]:
        spec = self._spec

        def on_server(server: SimulatedServer) -> Any:
            space = server.storage.space(spec)
            assert isinstance(space, LateSpace)
            return work(space, server)

        return self._bus.ask("ask", on_server, what=f"{what} of {spec.name}")

    async def get(self, key: str) -> KeyValue | None:
        """The live value, or None."""
        return await self._ask(lambda space, server: space.seen(key, server.seen_until()), f"key {key}")

    async def put(self, key: str, value: bytes, *, ttl: int | None = None, revision: int | None = None) -> int:
        """Write, and return the new revision."""
        return await self._write(lambda space, _: space.put(key, value, ttl, revision), key)

    async def delete(self, key: str, *, revision: int | None = None) -> None:
        """Purge the key; watchers are told."""
        await self._write(lambda space, _: space.delete(key, revision), key)

    async def _write(self, work: Callable[[LateSpace, SimulatedServer], Any], key: str) -> Any:
        """As an append: a lost connection leaves it unknown whether it was written."""
        try:
            return await self._ask(work, f"a write to {key}")
        except Unavailable as error:
            if error.detail.get("sent"):
                raise TimedOut(f"the connection was lost while {key} was written: read back") from error
            raise

    async def all(self) -> list[KeyValue]:
        """Every live key."""
        return await self._ask(lambda space, _: space.live(), "all keys")

    async def watch(self, handler: Callable[[KeyValue], None], *, keys: str = ">") -> SimulatedWatch:
        """Call `handler` with every live value, then with every change."""
        watch = SimulatedWatch(self._bus, self._spec, handler, keys)
        await watch.open()
        return watch


class SimulatedObjects:
    """Payloads by content digest."""

    def __init__(self, bus: SimulatedBus, name: str) -> None:
        self._bus = bus
        self._name = name

    def _ask(self, work: Work, what: str) -> Coroutine[Any, Any, Any]:
        return self._bus.ask("ask", work, what=f"{what} of {self._name}")

    async def put(self, data: bytes) -> str:
        """Store, and return the digest. Again: the same digest, stored once."""
        digest, held, name = f"sha256:{hashlib.sha256(data).hexdigest()}", bytes(data), self._name

        def work(server: SimulatedServer) -> None:
            server.storage.keep_object(server.storage.objects.setdefault(name, {}), digest, held, FRESH)

        await self._ask(work, "a put")
        return digest

    async def get(self, digest: str) -> bytes:
        """The bytes.

        Raises:
            KeyError: no such object.
        """
        return await self._ask(lambda server: server.storage.objects[self._name][digest].data, digest)

    async def all(self) -> list[StoredObject]:
        """Every object, the one put longest ago first."""

        def work(server: SimulatedServer) -> list[StoredObject]:
            held = server.storage.objects.get(self._name, {})
            found = [
                StoredObject(digest=digest, size=len(each.data), time=each.time, revision=each.revision)
                for digest, each in held.items()
            ]
            return sorted(found, key=lambda each: each.revision)

        return await self._ask(work, "all")

    async def delete(self, found: StoredObject) -> None:
        """Remove the object, if nobody has put it again since."""

        def work(server: SimulatedServer) -> None:
            held = server.storage.objects.get(self._name, {})
            there = held.get(found.digest)
            if there is not None and there.revision != found.revision:
                raise Conflict(f"object {found.digest} was put again: it stays")
            held.pop(found.digest, None)

        await self._ask(work, "a removal")

    async def tidy(self, before: float) -> int:
        """Nothing to do: what is put here is whole."""
        return 0


def _headers(headers: Headers | None, message_id: str, expected: int | None) -> dict[str, str] | None:
    merged = dict(headers or {})
    if message_id:
        merged[MESSAGE_ID] = message_id
    if expected is not None:
        merged[EXPECTED] = str(expected)
    return merged or None


__all__ = ["NoResponders", "SimulatedStore"]
