"""The participant: bids for what its actors can do, takes awards, and tells what came of them.

`Commitments` (pure) decides about each act, `bids.py` computes the bids, `telling.py` carries the answers; here they are
joined to the peer. Acts arrive through `peer.on_act` (those to one instance) and through one subscription for each
capability of the hosted actors (calls to everybody).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mesh.actors.exchanging.dispatch import LONGEST
from mesh.actors.exchanging.exchange import HostileReply
from mesh.actors.exchanging.inbound import Inbound
from mesh.actors.running.work import Work
from mesh.contract_net.bidding import Load
from mesh.contract_net.bids import ASKED, Bids, Seat
from mesh.contract_net.composing import content_of
from mesh.contract_net.confirming import Confirmations
from mesh.contract_net.telling import AwardResponder, Telling
from mesh.protocols import commitments as c
from mesh.protocols.acts import (
    AcceptProposal,
    CallForProposal,
    Cancel,
    Misunderstood,
    Propose,
    RefusalReason,
    RejectProposal,
)
from mesh.protocols.commitment import Asker, AwardReceived, Commitment, Finished
from mesh.protocols.envelope import VERSION, Envelope, Sender, encode
from mesh.protocols.errors import (
    AgentLost,
    BadEnvelope,
    CallCycle,
    DeadlineExceeded,
    Draining,
    InvalidName,
    Killed,
    MeshError,
    NotUnderstood,
    Overloaded,
    RateLimited,
    TooManyHops,
    UnknownAgent,
    VersionUnsupported,
)
from mesh.protocols.naming.names import check_token
from mesh.protocols.ports import Message, Subscription
from mesh.resilience.deadline import Deadline

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.actors.running.actor import Actor

_DECLINES: dict[type[MeshError], RefusalReason] = {
    Overloaded: "capacity",
    RateLimited: "capacity",
    Draining: "draining",
    AgentLost: "draining",
    DeadlineExceeded: "deadline",
    Killed: "killed",
}


class Participant:
    """The contract net's side of whoever hosts actors. Made once a peer; `start` puts it in place."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.book = c.Commitments()
        self.bids = Bids(peer, self.book)
        self.telling = Telling(peer, self.bids)
        self._subscriptions: dict[str, Subscription] = {}
        self._subscribing = asyncio.Lock()
        self._works: dict[str, Work] = {}
        self._confirmations = Confirmations(peer.clock, self._confirm)

    def start(self) -> None:
        """Take part, for the actors that are hosted already and for those to come. Before the peer hosts, or after."""
        self.peer.on_act = self.on_act
        self.peer.standing_bids = self.bids.standing
        self.peer.on_hosted(self._hosted)
        self.peer.on_unhosted(self._unhosted)

    # -- who bids

    async def _hosted(self, actor: Actor) -> None:
        for capability in self.bids.add(actor):
            if capability in self._subscriptions:
                continue
            async with self._subscribing:  # many are hosted at once: one subscription for all of them
                if capability not in self._subscriptions:
                    inbox = self.peer.subjects.cfp_inbox(capability)
                    self._subscriptions[capability] = await self.peer.bus.subscribe(inbox, self.on_call)
            await self._unsubscribe(capability)  # it may have been taken away meanwhile

    async def _unhosted(self, actor: Actor) -> None:
        for capability in self.bids.remove(actor):
            await self._unsubscribe(capability)

    async def _unsubscribe(self, capability: str) -> None:
        """Nobody here offers it any more, if that is so: then the server is to tell callers at once that nobody listens."""
        if self.bids.seats(capability):
            return
        subscription = self._subscriptions.pop(capability, None)
        if subscription is not None:
            await subscription.close()

    # -- calls to everybody

    def on_call(self, message: Message) -> None:
        """A broadcast call for proposals. Never raises for what is in it."""
        try:
            call = self.peer.subjects.parse_cfp(message.subject)
            check_token(call.sender)
            asker = Asker(call.sender, self.peer.exchange.reply_token(message, call.sender))
        except (HostileReply, InvalidName) as error:
            self.peer.count("bad-call", message=str(error))
            return
        try:
            inbound = self.peer.exchange.inbound(message, call.sender, capability=call.capability)
            act = content_of(inbound.envelope)
            if not isinstance(act, CallForProposal) or act.capability != call.capability:
                raise BadEnvelope("a call for another capability than its subject says")
        except (BadEnvelope, VersionUnsupported, NotUnderstood) as error:
            self._misunderstood(asker, error)
            return
        self._propose(inbound, act, self.bids.seats(act.capability))

    def _misunderstood(self, asker: Asker, error: MeshError) -> None:
        """Say so: silence would cost whoever called its whole window, and tell its author nothing."""
        self.peer.count("bad-call", message=error.message)
        unread = Envelope(v=VERSION, id="", kind="act", name="", sender=Sender("", "", asker.process), correlation="")
        content = Misunderstood(conversation="", reason=error.message)
        self.telling.say(unread, asker, content, fault=error.fault(self.peer.process))

    def _propose(self, inbound: Inbound, act: CallForProposal, seats: list[Seat]) -> None:
        """One answer for all of these: the best proposals, or why there are none."""
        proposals, refusals = self.bids.answer(inbound, act, seats)
        if proposals or refusals:
            answer = Propose(conversation=act.conversation, proposals=proposals, refusals=refusals)
            self.telling.say(inbound.envelope, Asker(inbound.sender, inbound.token), answer)

    # -- acts to one instance

    def on_act(self, inbound: Inbound) -> None:
        """An act for one of our instances.

        Raises:
            NotUnderstood · BadEnvelope · UnknownAgent: the dispatch answers with them.
        """
        act = content_of(inbound.envelope)
        if isinstance(act, AcceptProposal):
            self._accept(inbound, act)
        elif isinstance(act, RejectProposal):
            for proposal in (act.proposal, *act.others):
                self.book.bids.reject(proposal, inbound.sender)
        elif isinstance(act, Cancel):
            self._cancel(inbound, act)
        elif isinstance(act, CallForProposal):
            self._propose(inbound, act, self._asked(inbound, act))
        elif not isinstance(act, Misunderstood):
            raise NotUnderstood(f"a participant is not sent {inbound.envelope.name}")

    def _asked(self, inbound: Inbound, act: CallForProposal) -> list[Seat]:
        """Whom a call to one instance is meant for: of those that it names, who is here."""
        found = [seat for key in act.instances[:ASKED] if (seat := self.bids.seat(key, act.capability)) is not None]
        return found or [self._seat(inbound, act.capability)]

    def _seat(self, inbound: Inbound, capability: str) -> Seat:
        seat = self.bids.seat(f"{inbound.agent}.{inbound.instance}", capability)
        if seat is None:
            raise UnknownAgent(f"no {inbound.agent}.{inbound.instance} that offers {capability} in {self.peer.process}")
        return seat

    def _accept(self, inbound: Inbound, act: AcceptProposal) -> None:
        seat, envelope = self._seat(inbound, act.capability), inbound.envelope
        now = self.peer.clock.monotonic()
        declared = seat.handler.effect
        received = AwardReceived(
            award=act.award,
            conversation=act.conversation,
            capability=act.capability,
            seat=seat.key,
            asker=Asker(inbound.sender, inbound.token, envelope.epoch),
            proposal=act.proposal,
            effect=declared if declared == "at_most_once" else act.effect,
            attempt=envelope.attempt,
            tenant=envelope.tenant,
            job=envelope.job,
            remaining=self._remaining(envelope.remaining, seat),
        )
        load = self.bids.load(seat, now, tenant=envelope.tenant)
        for command in self.book.award(received, load.room, now):
            if isinstance(command, c.Begin):
                self._begin(command.commitment, inbound, act, seat, load)
            else:
                self._carry_out(command, inbound, act, seat)

    @staticmethod
    def _remaining(told: float | None, seat: Seat) -> float:
        return seat.handler.timeout if told is None else min(told, LONGEST)

    def _carry_out(self, command: c.Command, inbound: Inbound, act: AcceptProposal, seat: Seat) -> None:
        if isinstance(command, c.Decline):
            self.telling.decline(inbound.envelope, command, seat)
        elif isinstance(command, c.Confirm):
            self.telling.confirm(inbound.envelope, command.commitment, seat, self._runs(command.commitment))
        elif isinstance(command, c.Tell):
            self.telling.outcome_soon(inbound.envelope, command.commitment, seat)

    # -- the work

    def _begin(self, commitment: Commitment, inbound: Inbound, act: AcceptProposal, seat: Seat, load: Load) -> None:
        """Hand the work to the actor, if it may and can take it."""
        envelope = inbound.envelope
        if not act.proposal and (why := self.bids.unfit(act, seat, envelope, load)) is not None:
            self._decline(commitment, why, inbound, act, seat)
            return
        command = msgspec.structs.replace(
            envelope, kind="command", name=seat.handler.name, payload=act.input, attempt=1
        )
        responder = AwardResponder(self, commitment, envelope, seat)
        deadline = Deadline(self.peer.clock, commitment.until)
        work = Work(command, seat.handler, responder, deadline, inbound.sender)
        self._works[commitment.award] = work
        refused = partial(self._not_taken, commitment, inbound, act, seat)
        offer = partial(self._offer, work, commitment, envelope, seat)
        try:
            if self.peer.policy.limits:
                self.peer.rationing.enter(seat.actor, work, offer, refused)
            else:
                offer()
        except MeshError as error:
            refused(error)

    def _offer(self, work: Work, commitment: Commitment, envelope: Envelope, seat: Seat) -> None:
        """Into the mailbox, unless it was cancelled while it waited for that."""
        if self._works.get(commitment.award) is work:
            seat.actor.offer(work)
            self.bids.granted(seat, envelope.tenant, commitment.conversation)
            self._confirmations.expect(work.offered_at, commitment, envelope, seat)
        elif work.ration is not None:
            work.ration.cancel()

    def _not_taken(
        self, commitment: Commitment, inbound: Inbound, act: AcceptProposal, seat: Seat, error: MeshError
    ) -> None:
        if not commitment.active:  # it was cancelled while it waited
            return
        if isinstance(error, CallCycle | TooManyHops):
            self._failed(commitment, inbound.envelope, seat, error)
            return
        self._works.pop(commitment.award, None)
        reason = _DECLINES.get(type(error), "declined")
        self._decline(commitment, (reason, error.message), inbound, act, seat)

    def _decline(
        self, commitment: Commitment, why: tuple[RefusalReason, str], inbound: Inbound, act: AcceptProposal, seat: Seat
    ) -> None:
        for command in self.book.decline(commitment.award, *why):
            self._carry_out(command, inbound, act, seat)

    def _confirm(self, commitment: Commitment, envelope: Envelope, seat: Seat) -> None:
        running = self._runs(commitment)
        for command in self.book.confirmable(commitment.award):
            if isinstance(command, c.Confirm):
                self.telling.confirm(envelope, command.commitment, seat, running)

    def _runs(self, commitment: Commitment) -> bool:
        """Whether its handler has begun; the book is told so, too."""
        work = self._works.get(commitment.award)
        if work is not None and work.begun:
            self.book.begun(commitment.award)
        return commitment.state == "running"

    def _failed(self, commitment: Commitment, envelope: Envelope, seat: Seat, error: MeshError) -> None:
        """It cannot be done at all, by nobody: no decline, which would send it to the next."""
        self._works.pop(commitment.award, None)
        if self.book.finish(commitment.award, Finished(fault=error.fault(seat.key))):
            self.telling.outcome_soon(envelope, commitment, seat)

    # -- what comes of it

    def finished(
        self, commitment: Commitment, cause: Envelope, seat: Seat, finished: Finished
    ) -> Awaitable[None] | None:
        """The handler has ended. Told once, now or, if it is large, when what this returns is awaited; copies of the award
        are answered with it until its deadline.
        """
        award = commitment.award
        self._works.pop(award, None)
        return self.telling.outcome(cause, commitment, seat) if self.book.finish(award, finished) else None

    def hand_back(self, commitment: Commitment, cause: Envelope, seat: Seat, error: MeshError) -> bool:
        """The work was never begun: decline it after all. False if it is too late for that."""
        work = self._works.get(commitment.award)
        if work is None or work.begun or commitment.state != "awarded":
            return False
        del self._works[commitment.award]
        for command in self.book.decline(commitment.award, _DECLINES.get(type(error), "draining"), error.message):
            if isinstance(command, c.Decline):
                self.telling.decline(cause, command, seat)
        return True

    def publish(self, asker: Asker, envelope: Envelope) -> None:
        """Send something small that may as well get lost."""
        try:
            subject = self.peer.subjects.reply(asker.process, self.peer.process, asker.token)
            self.peer.bus.publish(subject, encode(envelope))
        except MeshError as error:
            self.peer.count("unanswered", error=error.code)

    # -- cancel

    def _cancel(self, inbound: Inbound, act: Cancel) -> None:
        envelope = inbound.envelope
        received = AwardReceived(
            award=act.award,
            conversation=act.conversation,
            capability="",
            seat=f"{inbound.agent}.{inbound.instance}",
            asker=Asker(inbound.sender, inbound.token, envelope.epoch),
            tenant=envelope.tenant,
            job=envelope.job,
            remaining=60.0 if envelope.remaining is None else min(envelope.remaining, LONGEST),
        )
        for command in self.book.cancel(received, self.peer.clock.monotonic()):
            if isinstance(command, c.Stop):
                self._stop(command.commitment)
            elif isinstance(command, c.Tell) and (seat := self._seat_of(command.commitment)) is not None:
                self.telling.outcome_soon(envelope, command.commitment, seat)

    def _stop(self, commitment: Commitment) -> None:
        work = self._works.get(commitment.award)
        actor = self.peer.actors.get(commitment.seat)
        if work is not None and actor is not None:
            actor.cancel(work.envelope.id, work.requester)
        self._works.pop(commitment.award, None)

    def _seat_of(self, commitment: Commitment) -> Seat | None:
        capability = commitment.received.capability if commitment.received else ""
        return self.bids.seat(commitment.seat, capability)
