"""`Events`: what happened, told to whom it may concern: emit, subscribe, follow from a time or sequence, and `@on_event`.

An event is stored in the stream EVT before `emit` returns. Subscribers hear it live, at most once; `follow` and durable
reactions read the stream, with nothing missed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.contract import encode_payload
from mesh.actors.lineage import Lineage
from mesh.protocols.envelope import Envelope, decode, encode, value_of
from mesh.protocols.errors import BadEnvelope, InvalidName, MeshError, VersionUnsupported
from mesh.protocols.ports import Message, Stored, StreamSpec, Subscription
from mesh.protocols.references import LIMIT
from mesh.protocols.subjects import Subjects

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

WEEK = 7 * 24 * 3600.0
GIGABYTE = 1 << 30


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event as a subscriber gets it. `sequence` and `time` (Unix seconds) are known when it came from the stream."""

    type: str
    agent: str
    tenant: str
    payload: Any
    envelope: Envelope
    sequence: int = 0
    time: float = 0.0


def event_stream(subjects: Subjects) -> StreamSpec:
    """The stream that keeps events: a week of them, at most a gigabyte."""
    return StreamSpec(
        name=subjects.stream("EVT"),
        subjects=(subjects.event_filter(),),
        max_age=WEEK,
        max_bytes=GIGABYTE,
        description="events",
    )


class Events:
    """The events of one process's mesh."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._spec = event_stream(peer.subjects)
        self._ensured = False

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self._spec.name

    async def ensure(self) -> None:
        """Make sure that the stream is there. Again: nothing happens."""
        if not self._ensured:
            await self._peer.store.ensure_stream(self._spec)
            self._ensured = True

    async def emit(self, event_type: str, payload: Any, lineage: Lineage) -> int:
        """Store an event, and return its sequence. Again: a second event.

        Raises:
            TimedOut: whether it was stored is unknown. Unavailable · TooLarge · InvalidName · BadPayload.
        """
        subject = self._peer.subjects.event(lineage.tenant, lineage.sender.agent, event_type)
        content, version = encode_payload(payload), self._peer.tongue.version
        envelope = lineage.compose(self._peer.ids, "event", event_type, content, waits=False, version=version)
        data = encode(envelope)
        if len(data) > LIMIT:
            data = encode(await self._peer.payloads.by_reference(envelope))
        await self.ensure()
        return (await self._peer.store.append(subject, data, message_id=envelope.id)).sequence

    async def subscribe(
        self,
        callback: Callable[[Event], None],
        event_type: str = ">",
        *,
        agent: str = "*",
        tenant: str = "*",
        queue: str = "",
    ) -> Subscription:
        """Hear events as they are emitted; what is emitted while the connection is away is missed. See `follow`."""
        subject = self._peer.subjects.event_filter(tenant, agent, event_type)
        return await self._peer.bus.subscribe(subject, lambda message: self._heard(message, callback), queue=queue)

    async def follow(
        self,
        event_type: str = ">",
        *,
        agent: str = "*",
        tenant: str = "*",
        since: float | None = None,
        after: int | None = None,
    ) -> AsyncIterator[Event]:
        """Every stored event from Unix time `since`, or with a sequence above `after` (neither: only new ones), then the
        new ones as they come, without gaps. Close the iterator to stop."""
        await self.ensure()
        subject = self._peer.subjects.event_filter(tenant, agent, event_type)
        async for stored in self._peer.store.follow(self.stream, subject, after=after, since=since):
            event = await self.read(stored)
            if event is not None:
                yield event

    async def read(self, stored: Stored) -> Event | None:
        """A stored event, or None (counted) where it is not one."""
        try:
            envelope = await self._peer.payloads.whole(decode(stored.data))
            return self.event(stored.subject, envelope, stored.sequence, stored.time)
        except (BadEnvelope, VersionUnsupported, InvalidName) as error:
            self._peer.count("bad-event", message=str(error))
            return None

    def event(self, subject: str, envelope: Envelope, sequence: int = 0, time: float = 0.0) -> Event:
        """The event of an envelope that came on `subject`.

        Raises:
            BadEnvelope · InvalidName: it is none, or claims to be another agent's.
        """
        tenant, agent, event_type = self._peer.subjects.parse_event(subject)
        if envelope.kind != "event" or envelope.name != event_type or envelope.sender.agent != agent:
            raise BadEnvelope(f"{subject} carries {envelope.kind} {envelope.name!r} of {envelope.sender.agent!r}")
        return Event(
            type=event_type,
            agent=agent,
            tenant=tenant,
            payload=value_of(envelope),
            envelope=envelope,
            sequence=sequence,
            time=time,
        )

    def _heard(self, message: Message, callback: Callable[[Event], None]) -> None:
        try:
            envelope = decode(message.data)
            if envelope.ref is not None:
                self._peer.spawn(self._fetched(message.subject, envelope, callback), "event")
                return
            event = self.event(message.subject, envelope)
        except (BadEnvelope, VersionUnsupported, InvalidName) as error:
            self._peer.count("bad-event", message=str(error))
            return
        callback(event)

    async def _fetched(self, subject: str, envelope: Envelope, callback: Callable[[Event], None]) -> None:
        try:
            callback(self.event(subject, await self._peer.payloads.whole(envelope)))
        except MeshError as error:
            self._peer.count("bad-event", message=str(error))
