"""`QuietCall`: a directed call that goes as nearly all do: whoever is asked bids, and the best takes the award.

It leads to a quiet award. As there, the auction is made the moment anything else happens (a refusal by all, a 503, silence),
and hears what has been answered so far.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.actors.exchanging.inbound import Inbound
from mesh.contract_net.calls import Call, Contracted, as_won
from mesh.contract_net.composing import act, call_for_proposals, names, proposals_in
from mesh.contract_net.ledger import AwardLedger
from mesh.contract_net.line import CallLine
from mesh.contract_net.quiet import QuietAward, TakeUp
from mesh.contract_net.sampling import Proposals
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Bid, Propose
from mesh.protocols.envelope import Envelope, Sender, encode
from mesh.protocols.errors import MeshError
from mesh.protocols.rounds import window
from mesh.protocols.selection import SelectionPolicy
from mesh.registry.listing import Listing
from mesh.resilience.alarms import Alarm, alarms

if TYPE_CHECKING:
    from mesh.contract_net.initiator import Initiator
    from mesh.contract_net.negotiation import Negotiation


class Asked:
    """One process that was asked: the waiter for its one answer."""

    __slots__ = ("_call", "answer", "envelope", "line", "reply", "responder", "token")

    def __init__(self, call: QuietCall, process: str) -> None:
        self.responder = process
        self.reply = self.token = ""
        self.envelope: Envelope | None = None
        self.answer: Propose | None = None
        self.line: CallLine | None = None
        self._call = call

    def answered(self, envelope: Envelope) -> None:
        """It bids, or does not; a second answer counts for nothing."""
        if self.line is not None:
            self.line.answered(envelope)
        elif self.envelope is None:
            self.envelope, self.answer = envelope, proposals_in(envelope)
            self._call.heard(self)

    def heard(self, answer: Inbound) -> None:
        """As `answered`."""
        self.answered(answer.envelope)

    def failed(self, error: MeshError) -> None:
        """Nobody listens there, or we are leaving."""
        self._call.loud()
        assert self.line is not None
        self.line.failed(error)


class QuietCall:
    """One directed call to these listings, by process. `run` it once."""

    def __init__(
        self,
        initiator: Initiator,
        call: Call,
        policy: SelectionPolicy,
        asked: tuple[dict[str, list[Listing]], int],
        conversation: str,
        take_up: TakeUp,
    ) -> None:
        self._initiator = initiator
        self._peer = initiator.peer
        self._call = call
        self._policy = policy
        self._conversation = conversation
        self._take_up = take_up
        self._listings, self._known = asked
        self._asked: list[Asked] = []
        self._waiting = len(self._listings)
        self._started = self._peer.clock.monotonic()
        self._negotiation: Negotiation | None = None
        self._ending: asyncio.Future[None]
        self._alarm: Alarm

    async def run(self, ledger: AwardLedger | None) -> Contracted:
        """Call, award, and wait for what is delivered. Raises as `Negotiation.run`."""
        here = alarms()
        self._ending = here.loop.create_future()
        seconds = window(self._policy, self._started, self._call.deadline.at)
        self._alarm = here.at(self._started + seconds, self._rang)
        try:
            await self._send(seconds)
            await self._ending
        except BaseException as error:
            self._leave(error)
            raise
        chosen = self._chosen() if self._negotiation is None else None
        if chosen is None:
            return await self.loud().go_on()
        call = as_won(self._call, chosen.effect)
        return await QuietAward(self._initiator, call, self._policy, chosen, self._conversation, self._take_up).run(
            ledger
        )

    async def _send(self, seconds: float) -> None:
        call, peer, addresses = self._call, self._peer, self._initiator.addresses
        sender = call.sender or Sender("", "", peer.process)
        for process, there in self._listings.items():
            asked = Asked(self, process)
            asked.token = peer.exchange.expect(asked)
            self._asked.append(asked)
            content = call_for_proposals(call, self._conversation, seconds, instances=names(there))
            envelope = act(call, sender, peer.ids, content, version=peer.tongue.version)
            peer.bus.publish(addresses.of(there[0].record), encode(envelope), reply=asked.reply)

    def heard(self, asked: Asked) -> None:
        """Somebody has answered. When all have bid, the call is over."""
        if asked.answer is None:
            self.loud()
            return
        for each in asked.answer.proposals:
            if each.counts(asked.responder):
                self._learn(each.process, each.agent, each.instance, each.bid)
        for refusal in asked.answer.refusals:
            if refusal.bid is not None:
                self._learn(asked.responder, refusal.agent, refusal.instance, refusal.bid)
        self._waiting -= 1
        if not self._waiting:
            self._close()
            if not self._ending.done():
                self._ending.set_result(None)

    def _learn(self, process: str, agent: str, instance: str, bid: Bid) -> None:
        self._initiator.market.learn(f"{process}.{agent}.{instance}", self._call.capability, bid)

    def _chosen(self) -> Proposals | None:
        answers = {each.responder: each.answer for each in self._asked if each.answer is not None}
        now, call = self._peer.clock.monotonic(), self._call
        market = self._initiator.market
        proposals = Proposals(answers, lambda bidder: market.learned(call.capability, bidder), self._known, now)
        found = proposals.choose(call.constraints, call.deadline.at, self._policy, self._peer.ids.random)
        return proposals if found else None

    def _close(self) -> None:
        self._alarm.cancel()
        for each in self._asked:
            self._peer.exchange.forget(each.token)

    def _rang(self) -> None:
        self.loud()

    def loud(self) -> Negotiation:
        """The auction that has taken over; from now on, if it has not before."""
        if self._negotiation is None:
            self._taken_over()
            self._answer_again()
            if not self._ending.done():
                self._ending.set_result(None)
        assert self._negotiation is not None
        return self._negotiation

    def _leave(self, error: BaseException) -> None:
        """Nobody waits any more: of what has been proposed nothing is chosen, also if that is all there is."""
        if self._negotiation is not None:
            self._negotiation.leave(error)
        else:
            self._taken_over().leave(error)
            self._answer_again()

    def _taken_over(self) -> Negotiation:
        """The auction, which has heard no answer yet."""
        self._alarm.cancel()
        self._negotiation = negotiation = self._take_up(1)
        for each in self._asked:
            each.line = CallLine(negotiation, each.responder, each.responder)
        called = m.Called(expected=frozenset(self._listings), known=self._known)
        negotiation.adopt_call(called, [each.token for each in self._asked], self._started)
        return negotiation

    def _answer_again(self) -> None:
        """Let the auction hear what has been answered so far."""
        for each in self._asked:
            if each.envelope is not None and each.line is not None:
                each.line.answered(each.envelope)
