"""`Hearing`: what comes on the subjects of events, proven to be what it says, handed to whoever listens.

Stored and unstored events come on subjects of their own, and unstored ones may come many in a message; who listens does not
know the difference.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from mesh.actors.batch import decode_batch, is_batch
from mesh.protocols.envelope import Envelope, decode
from mesh.protocols.errors import BadEnvelope, InvalidName, MeshError, VersionUnsupported
from mesh.protocols.ports import Message, Subscription
from mesh.protocols.subjects import Event as About

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

log = logging.getLogger("mesh.actors")

Heard = Callable[[About, Envelope], None]
"""Takes what came: tenant, agent and type by the subject, and the envelope."""
KNOWN = 4096
"""Subjects whose parts are remembered."""


class Hearing:
    """The ears of one process."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._about = lru_cache(maxsize=KNOWN)(peer.subjects.parse_event)

    async def listen(self, heard: Heard, tenant: str, agent: str, event_type: str, queue: str) -> Subscription:
        """Hear both kinds from now on; `heard` is called in the order of arrival on each subject."""
        subjects, bus = self._peer.subjects, self._peer.bus
        stored, now = subjects.event_filter(tenant, agent, event_type), subjects.now_filter(tenant, agent, event_type)
        first = await bus.subscribe(stored, lambda message: self._came(message, heard), queue=queue)
        try:
            second = await bus.subscribe(now, lambda message: self._came_now(message, heard), queue=queue)
        except BaseException:
            await first.close()
            raise
        return Both(first, second)

    def check(self, subject: str, envelope: Envelope) -> About:
        """What an envelope that came on `subject` is about.

        Raises:
            BadEnvelope · InvalidName: it is no event, or claims to be another agent's.
        """
        about = self._about(subject)
        if envelope.kind != "event" or envelope.name != about.type or envelope.sender.agent != about.agent:
            raise BadEnvelope(f"{subject} carries {envelope.kind} {envelope.name!r} of {envelope.sender.agent!r}")
        return about

    def bad(self, error: MeshError) -> None:
        """Something came that is no event."""
        self._peer.count("bad-event", message=str(error))

    def _came(self, message: Message, heard: Heard) -> None:
        try:
            envelope = decode(message.data)
            about = self.check(message.subject, envelope)
        except (BadEnvelope, VersionUnsupported, InvalidName) as error:
            self.bad(error)
            return
        if envelope.ref is None:
            heard(about, envelope)
        else:
            self._peer.spawn(self._fetched(about, envelope, heard), "event")

    def _came_now(self, message: Message, heard: Heard) -> None:
        if not is_batch(message.data):
            self._came(message, heard)
            return
        try:
            envelopes = decode_batch(message.data, self.bad)
        except BadEnvelope as error:
            self.bad(error)
            return
        for envelope in envelopes:
            self._one_of_many(message.subject, envelope, heard)

    def _one_of_many(self, subject: str, envelope: Envelope, heard: Heard) -> None:
        """What goes wrong with one must not cost the others."""
        try:
            about = self.check(subject, envelope)
            if envelope.ref is None:
                heard(about, envelope)
            else:
                self._peer.spawn(self._fetched(about, envelope, heard), "event")
        except (BadEnvelope, InvalidName) as error:
            self.bad(error)
        except Exception:
            log.exception("a handler of %s raised; the subscription goes on", subject)

    async def _fetched(self, about: About, envelope: Envelope, heard: Heard) -> None:
        try:
            heard(about, await self._peer.payloads.whole(envelope))
        except MeshError as error:
            self.bad(error)


class Both:
    """Two subscriptions as one."""

    def __init__(self, first: Subscription, second: Subscription) -> None:
        self._parts = (first, second)

    async def close(self) -> None:
        """Stop both. Again: nothing happens."""
        for part in self._parts:
            await part.close()
