"""How a participant's answers leave: to whoever asked last with the right to, each with the instance's fresh bid."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.declaring.contract import encode_payload
from mesh.contract_net.bids import Bids, Seat
from mesh.contract_net.composing import payload_of, reply
from mesh.protocols import commitments as c
from mesh.protocols.acts import Bid, Confirm, Failure, InformDone, InformResult, Refusal, Refuse
from mesh.protocols.commitment import Asker, Commitment, Finished
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import Envelope, Kind, Sender, encode
from mesh.protocols.errors import AgentLost, Draining, Fault, MeshError, Overloaded
from mesh.protocols.references import LIMIT

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.contract_net.participant import Participant


NOTHING_STREAMED = msgspec.Raw(b"[]")
"""The result of a stream that ended before its first item: `null` would be no list to whoever called for one."""
ROOTS = 10_000
"""Processes whose reply subject is remembered, at most."""


class Telling:
    """Sends the acts of one participant. `cause` is always the envelope that an answer belongs to."""

    def __init__(self, peer: Peer, bids: Bids) -> None:
        self._peer = peer
        self._bids = bids
        self._roots: dict[str, str] = {}

    def say(
        self, cause: Envelope, asker: Asker, content: msgspec.Struct, seat: Seat | None = None, **parts: Any
    ) -> None:
        """Send one act now. Large ones leave as soon as they are stored."""
        if asker.token:
            self._leave(asker, self._envelope(cause, asker, content, seat, **parts))

    def _leave(self, asker: Asker, envelope: Envelope) -> None:
        try:
            data = encode(envelope)
            if len(data) > LIMIT:
                self._peer.spawn(self._peer.exchange.send(self._subject(asker), envelope), "large answer")
            else:
                self._peer.bus.publish(self._subject(asker), data)
        except MeshError as error:
            self._peer.count("unanswered", error=error.code)

    def part(
        self, cause: Envelope, asker: Asker, seat: Seat, kind: Kind, payload: msgspec.Raw, seq: int = 0
    ) -> Envelope:
        """An item, or progress, on the way to the result."""
        sender = seat.actor.sender
        return reply(
            cause,
            sender,
            self._peer.ids.uuid(),
            kind=kind,
            name=seat.handler.name,
            payload=payload,
            epoch=asker.epoch,
            seq=seq,
        )

    async def send(self, asker: Asker, envelope: Envelope) -> None:
        """Send an envelope, a large one by reference."""
        if asker.token:
            await self._peer.exchange.send(self._subject(asker), envelope)

    def decline(self, cause: Envelope, command: c.Decline, seat: Seat) -> None:
        """The award is not taken: why, when to come back, and how it stands now."""
        actor, received = seat.actor, command.received
        tenant, full = received.tenant, command.reason == "capacity"
        refusal = Refusal(
            agent=actor.definition.name,
            instance=actor.instance,
            reason=command.reason,
            message=command.message,
            retry_after=self._bids.retry_after(seat, tenant, received.conversation) if full else None,
            bid=self._bids.fresh(seat, tenant=tenant),
        )
        content = Refuse(conversation=received.conversation, refusals=(refusal,), award=received.award)
        self.say(cause, received.asker, content, seat)

    def confirm(self, cause: Envelope, commitment: Commitment, seat: Seat, running: bool) -> None:
        """The award is held."""
        content = Confirm(
            conversation=commitment.conversation,
            award=commitment.award,
            state="running" if running else "queued",
            bid=self._bids.fresh(seat),
        )
        self.say(cause, commitment.asker, content, seat)

    def outcome_soon(self, cause: Envelope, commitment: Commitment, seat: Seat) -> None:
        """What came of it, to the asker of a copy."""
        if commitment.asker.token:
            self._leave(commitment.asker, self._outcome(cause, commitment, self._bids.fresh(seat), seat))

    def outcome(self, cause: Envelope, commitment: Commitment, seat: Seat) -> Awaitable[None] | None:
        """What came of it, as the handler ends. A large one leaves when it is awaited."""
        asker = commitment.asker
        if not asker.token:
            return None
        envelope = self._outcome(cause, commitment, self._bids.fresh(seat, ending=1), seat)
        data = encode(envelope)
        if len(data) > LIMIT:
            return self._peer.exchange.send(self._subject(asker), envelope)
        self._peer.bus.publish(self._subject(asker), data)
        return None

    def _outcome(self, cause: Envelope, commitment: Commitment, bid: Bid | None, seat: Seat) -> Envelope:
        conversation, award, finished = commitment.conversation, commitment.award, commitment.finished
        if finished is None:
            done = InformDone(conversation=conversation, award=award, bid=bid)
            return self._envelope(cause, commitment.asker, done, seat)
        content: Failure | InformResult
        if finished.fault is None:
            content = InformResult(conversation=conversation, award=award, content=finished.content, bid=bid)
        else:
            content = Failure(conversation=conversation, award=award, bid=bid)
        name, payload = payload_of(content)
        return reply(
            cause, seat.actor.sender, self._peer.ids.uuid(), name=name, payload=payload, epoch=commitment.asker.epoch,
            seq=finished.items, usage=finished.usage, fault=finished.fault, degraded=finished.degraded, stamps=seat.stamps,
        )  # fmt: skip

    def _envelope(
        self, cause: Envelope, asker: Asker, content: msgspec.Struct, seat: Seat | None, **parts: Any
    ) -> Envelope:
        sender = (
            seat.actor.sender if seat else Sender(self._peer.root.sender.agent, self._peer.process, self._peer.process)
        )
        name, payload = payload_of(content)
        return reply(cause, sender, self._peer.ids.uuid(), name=name, payload=payload, epoch=asker.epoch, **parts)

    def _subject(self, asker: Asker) -> str:
        root = self._roots.get(asker.process)
        if root is None:
            if len(self._roots) >= ROOTS:
                self._roots.clear()
            root = self._roots[asker.process] = self._peer.subjects.reply_root(asker.process, self._peer.process)
        return root + asker.token


class AwardResponder:
    """Carries what comes of one awarded piece of work to the participant."""

    __slots__ = ("_cause", "_commitment", "_items", "_participant", "_seat")

    def __init__(self, participant: Participant, commitment: Commitment, cause: Envelope, seat: Seat) -> None:
        self._participant = participant
        self._commitment = commitment
        self._cause = cause
        self._seat = seat
        self._items = 0

    def progress(self, value: Any) -> None:
        """Tell the asker that it goes on."""
        asker = self._commitment.asker
        if asker.token and self._commitment.active:
            telling, payload = self._participant.telling, encode_payload(value)
            self._participant.publish(asker, telling.part(self._cause, asker, self._seat, "progress", payload))

    async def item(self, value: msgspec.Raw) -> None:
        """Send an item on."""
        asker, telling = self._commitment.asker, self._participant.telling
        part = telling.part(self._cause, asker, self._seat, "item", value, self._items)
        self._items += 1
        await telling.send(asker, part)

    def result(self, value: msgspec.Raw, usage: Usage, degraded: str = "") -> Awaitable[None] | None:
        """It is done. The result of a stream is all that was streamed: initiators put that together, where there was any."""
        if not self._items and self._seat.handler.way == "stream":
            value = NOTHING_STREAMED
        return self._finished(Finished(value, usage, degraded=degraded, items=self._items))

    def failure(self, error: MeshError, usage: Usage) -> Awaitable[None] | None:
        """It is not; what was never begun is handed back, for somebody else to do."""
        unbegun = error.detail.get("begun") is False and isinstance(error, Draining | AgentLost | Overloaded)
        if unbegun and self._participant.hand_back(self._commitment, self._cause, self._seat, error):
            return None
        fault: Fault = error.fault(self._seat.key)
        return self._finished(Finished(usage=usage, fault=fault, items=self._items))

    def _finished(self, finished: Finished) -> Awaitable[None] | None:
        return self._participant.finished(self._commitment, self._cause, self._seat, finished)
