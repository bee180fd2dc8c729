"""`Events`: what happened, told to whom it may concern: emit, subscribe, follow from a time or sequence, and `@on_event`.

An event is stored in the stream EVT before `emit` returns; with `stored=False` it is heard now or never. Subscribers hear
both kinds live, at most once; `follow` and durable reactions read the stream, with nothing missed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from mesh.actors.declaring.contract import encode_payload
from mesh.actors.events.announcing import Announcing
from mesh.actors.events.event import Event as Event
from mesh.actors.events.hearing import Ear, Hearing
from mesh.actors.exchanging.lineage import Lineage
from mesh.protocols.envelope import Envelope, decode, encode
from mesh.protocols.errors import BadEnvelope, InvalidName, NoResponders, Unavailable, VersionUnsupported
from mesh.protocols.naming.events import Event as About
from mesh.protocols.ports import Stored, StreamSpec, Subscription
from mesh.protocols.references import LIMIT
from mesh.protocols.subjects import Subjects

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

log = logging.getLogger("mesh.actors")

WEEK = 7 * 24 * 3600.0
GIGABYTE = 1 << 30


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
    """The events of one process's mesh. With `batches` false, each unstored event is a message of its own."""

    def __init__(self, peer: Peer, *, batches: bool = True) -> None:
        self._peer = peer
        self._spec = event_stream(peer.subjects)
        self._ensured = False
        self.announcing = Announcing(peer, batches=batches)
        self._hearing = Hearing(peer)

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self._spec.name

    async def ensure(self) -> None:
        """Make sure that the stream is there. Again: nothing happens."""
        if not self._ensured:
            await self._peer.store.ensure_stream(self._spec)
            self._ensured = True

    async def emit(self, event_type: str, payload: Any, lineage: Lineage, *, stored: bool = True) -> int:
        """Store an event, and return its sequence; or let it leave unstored, and return 0 at once. Again: a second event.

        Raises:
            TimedOut: whether it was stored is unknown. NoResponders · Unavailable · Overloaded · TooLarge · InvalidName · BadPayload.
        """
        if stored:
            return await self._store(event_type, payload, lineage)
        self.announcing.announce(event_type, payload, lineage if lineage is not self._peer.root else None)
        return 0

    async def _store(self, event_type: str, payload: Any, lineage: Lineage) -> int:
        subject = self._peer.subjects.event(lineage.tenant, lineage.sender.agent, event_type)
        content, version = encode_payload(payload), self._peer.tongue.version
        envelope = lineage.compose(self._peer.ids, "event", event_type, content, waits=False, version=version)
        data = encode(envelope)
        if len(data) > LIMIT:
            data = encode(await self._peer.payloads.by_reference(envelope))
        await self.ensure()
        try:
            return (await self._peer.store.append(subject, data, message_id=envelope.id)).sequence
        except NoResponders:  # nobody captures it: should the stream be lost, whoever emits next makes it anew
            self._ensured = False
            raise

    def flush(self) -> None:
        """Unstored events that wait for company leave now."""
        self.announcing.flush()

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

        def heard(about: About, envelopes: list[Envelope]) -> None:
            for envelope in envelopes:
                try:
                    callback(Event(about.type, about.agent, about.tenant, envelope))
                except Exception:
                    log.exception("a subscriber of %s raised; the subscription goes on", about.type)

        return await self.listen(Ear(heard), event_type, agent=agent, tenant=tenant, queue=queue)

    async def listen(
        self, ear: Ear, event_type: str = ">", *, agent: str = "*", tenant: str = "*", queue: str = ""
    ) -> Subscription:
        """The same for who needs the envelopes alone."""
        return await self._hearing.listen(ear, tenant, agent, event_type, queue)

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
            if event is not None and self.readable(event):
                yield event

    async def read(self, stored: Stored) -> Event | None:
        """A stored event, or None (counted) where it is not one, or its large payload is gone for good."""
        try:
            envelope = await self._peer.payloads.whole(decode(stored.data))
            about = self._hearing.check(stored.subject, envelope)
        except (BadEnvelope, VersionUnsupported, InvalidName) as error:
            self._hearing.bad(error)
            return None
        except Unavailable as error:
            if "gone" not in error.detail:
                raise
            self._hearing.bad(error)
            return None
        return Event(about.type, about.agent, about.tenant, envelope, stored.sequence, stored.time)

    def readable(self, event: Event) -> bool:
        """Whether its payload is one; that it is not is counted: who follows the stream must get past it."""
        try:
            event.payload  # noqa: B018 - it is decoded when it is read
        except BadEnvelope as error:
            self._hearing.bad(error)
            return False
        return True
