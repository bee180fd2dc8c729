"""`Store` over a real server: the parts put together."""

from __future__ import annotations

from collections.abc import AsyncIterator

from mesh.protocols.ports import Ack, BucketSpec, Clock, Headers, Ids, Stored, StreamSpec, StreamState
from mesh.transport.nats.api import NANOSECONDS
from mesh.transport.nats.append import append, append_block
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.consumer import NatsConsumer
from mesh.transport.nats.direct import get_last
from mesh.transport.nats.follow import follow
from mesh.transport.nats.inventory import buckets, counts, handled, listed
from mesh.transport.nats.keys import NatsBucket
from mesh.transport.nats.objects import NatsObjects
from mesh.transport.nats.reading import newest_of_each, read_from
from mesh.transport.nats.snapshots import NatsSnapshots
from mesh.transport.nats.streams import ensure, purge, stream_config

IN_A_CLUSTER = 3
"""Replicas of what a cluster keeps: one server may be lost, and nothing with it."""


class NatsStore:
    """Streams, buckets and objects. `replicas` is for what is created here, by default 3 in a cluster and 1 elsewhere; more
    that an operator has set stays."""

    def __init__(self, bus: NatsBus, clock: Clock, ids: Ids, *, replicas: int | None = None) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._replicas = replicas or (IN_A_CLUSTER if bus.cluster else 1)

    async def ensure_stream(self, spec: StreamSpec) -> None:
        """Create the stream, or bring an existing one to this shape."""
        await ensure(self._bus, stream_config(spec, self._replicas))

    async def streams(self, prefix: str) -> list[StreamState]:
        """Every stream whose name begins so."""
        return await listed(self._bus, (prefix,))

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
        return await append(self._bus, subject, data, append_block(message_id, expected, headers), timeout)

    async def read(self, stream: str, subject: str, *, after: int = 0) -> list[Stored]:
        """Every message on `subject` above `after`, in order."""
        return await read_from(self._bus, stream, subject, after)

    async def last(self, stream: str, subject: str) -> Stored | None:
        """The newest message on an exact subject."""
        return await get_last(self._bus, stream, subject)

    async def last_each(self, stream: str, subjects: str, *, after: int = 0) -> list[Stored]:
        """The newest message of every subject that matches, where it is above `after`, in order of sequence."""
        return await newest_of_each(self._bus, stream, subjects, after)

    async def purge(self, stream: str, subject: str, *, up_to: int | None = None) -> int:
        """Remove what is stored on matching subjects."""
        return await purge(self._bus, stream, subject, up_to)

    async def counts(self, stream: str, subjects: str) -> dict[str, int]:
        """How many messages are stored on each subject that matches."""
        return await counts(self._bus, stream, subjects)

    async def handled(self, stream: str, durable: str) -> int:
        """The sequence up to which that consumer is done with everything."""
        return await handled(self._bus, stream, durable)

    def follow(
        self, stream: str, subject: str, *, after: int | None = 0, since: float | None = None
    ) -> AsyncIterator[Stored]:
        """Every stored message from there on, then new ones as they come. It starts with the first iteration."""
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
    ) -> NatsConsumer:
        """Open (creating it if needed) the durable consumer that all its peers share."""
        config = {
            "durable_name": durable,
            "name": durable,
            "ack_policy": "explicit",
            "ack_wait": int(ack_wait * NANOSECONDS),
            "max_deliver": max_deliver,
            "filter_subjects": list(subjects),
            "deliver_policy": "all",
        }
        consumer = NatsConsumer(self._bus, stream, durable, config, prefetch=prefetch)
        try:
            await consumer.create()
        except BaseException:
            await consumer.close()
            raise
        return consumer

    async def buckets(self, prefix: str) -> list[BucketSpec]:
        """The buckets on disk whose names begin so."""
        return await buckets(self._bus, prefix)

    async def bucket(self, spec: BucketSpec) -> NatsBucket:
        """Open the bucket, creating it if needed."""
        bucket = NatsBucket(self._bus, spec, self._replicas)
        await bucket.create()
        return bucket

    async def objects(self, name: str) -> NatsObjects:
        """Open the object store, creating it if needed."""
        objects = NatsObjects(self._bus, name, self._replicas)
        await objects.create()
        return objects

    def snapshots(self) -> NatsSnapshots:
        """Copies of whole streams."""
        return NatsSnapshots(self._bus)
