"""`Hearing`: what comes on the subjects of events, proven to be what it says, handed to whoever listens.

Stored and unstored events come on subjects of their own, and unstored ones may come many in a message; who listens does not
know the difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from mesh.actors.events.batch import OPENING, decode_batch
from mesh.protocols.envelope import Envelope, decode
from mesh.protocols.errors import BadEnvelope, InvalidName, MeshError, VersionUnsupported
from mesh.protocols.naming.events import Event as About
from mesh.protocols.ports import Message, Subscription

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

Heard = Callable[[About, list[Envelope]], None]
"""Takes what came in one message: tenant, agent and type by the subject, and the envelopes in their order."""
KNOWN = 4096
"""Subjects whose parts are remembered."""
FETCHES = 32
"""How many large payloads are fetched at once; the others wait, and take no more room than their envelopes."""


class Ear:
    """Who listens on one subscription, and how what comes there is read: one envelope, or many."""

    __slots__ = ("heard", "many", "one")

    def __init__(self, heard: Heard) -> None:
        self.heard = heard
        self.read()

    def read(
        self,
        one: Callable[[bytes], Envelope] = decode,
        many: Callable[[bytes, Callable[[MeshError], None]], list[Envelope]] = decode_batch,
    ) -> None:
        """Read like this from now on."""
        self.one, self.many = one, many


class Hearing:
    """The ears of one process."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._about = lru_cache(maxsize=KNOWN)(peer.subjects.parse_event)
        self._fetching = asyncio.Semaphore(FETCHES)

    async def listen(self, ear: Ear, tenant: str, agent: str, event_type: str, queue: str) -> Subscription:
        """Hear both kinds from now on; the ear hears in the order of arrival on each subject."""
        subjects, bus = self._peer.subjects, self._peer.bus
        stored, now = subjects.event_filter(tenant, agent, event_type), subjects.now_filter(tenant, agent, event_type)
        first = await bus.subscribe(stored, partial(self._came, ear, False), queue=queue)
        try:
            second = await bus.subscribe(now, partial(self._came, ear, True), queue=queue)
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
        if not _is_of(about, envelope):
            raise _of_another(about, envelope)
        return about

    def bad(self, error: MeshError) -> None:
        """Something came that is no event."""
        self._peer.count("bad-event", message=str(error))

    def _came(self, ear: Ear, batches: bool, message: Message) -> None:
        """Hand over what is an event of its subject and whole; fetch what is not whole, and count what is none."""
        data = message.data
        try:
            envelopes = ear.many(data, self.bad) if batches and data[:1] == OPENING else [ear.one(data)]
            about = self._about(message.subject)
        except (BadEnvelope, VersionUnsupported, InvalidName) as error:
            self.bad(error)
            return
        _, agent, name = about
        for each in envelopes:
            if each.name != name or each.sender.agent != agent or each.kind != "event" or each.ref is not None:
                envelopes = self._whole(about, envelopes, ear.heard)
                break
        if envelopes:
            ear.heard(about, envelopes)

    def _whole(self, about: About, envelopes: list[Envelope], heard: Heard) -> list[Envelope]:
        """Those that are as they should be; the others are counted, or fetched first."""
        found = []
        for envelope in envelopes:
            if not _is_of(about, envelope):
                self.bad(_of_another(about, envelope))
            elif envelope.ref is not None:
                self._peer.spawn(self._fetched(about, envelope, heard), "event")
            else:
                found.append(envelope)
        return found

    async def _fetched(self, about: About, envelope: Envelope, heard: Heard) -> None:
        try:
            async with self._fetching:
                whole = await self._peer.payloads.whole(envelope)
            heard(about, [whole])
        except MeshError as error:
            self.bad(error)


def _is_of(about: About, envelope: Envelope) -> bool:
    return envelope.name == about.type and envelope.sender.agent == about.agent and envelope.kind == "event"


def _of_another(about: About, envelope: Envelope) -> BadEnvelope:
    return BadEnvelope(
        f"the subject of {about.type} of {about.agent} carries {envelope.kind} {envelope.name!r} of {envelope.sender.agent!r}"
    )


class Both:
    """Two subscriptions as one."""

    def __init__(self, first: Subscription, second: Subscription) -> None:
        self._parts = (first, second)

    async def close(self) -> None:
        """Stop both. Again: nothing happens."""
        for part in self._parts:
            await part.close()
