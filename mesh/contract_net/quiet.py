"""`QuietAward`: an award that goes as nearly all do: one message there, the result back, and nothing else happens.

It costs little more than an ask, since the auction behind it is not made. The moment anything else happens (a decline, a
confirm, silence, a death, a cancel), the auction is made as if it had been there from the beginning, and decides from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mesh.actors.exchanging.inbound import Inbound
from mesh.contract_net.calls import Call, Contracted
from mesh.contract_net.composing import act, result_in
from mesh.contract_net.ledger import AwardLedger
from mesh.contract_net.line import AwardLine
from mesh.contract_net.permission import Permission
from mesh.contract_net.sampling import Proposals, Sample
from mesh.protocols import auction_faults as faults
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import AcceptProposal, InformResult, Refusal
from mesh.protocols.awards import AwardRecord
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import Envelope, Sender, Stamps, encode
from mesh.protocols.errors import BreakerOpen, MeshError
from mesh.protocols.references import LIMIT
from mesh.protocols.rounds import written
from mesh.protocols.selection import SelectionPolicy, explain
from mesh.resilience.alarms import Alarm, alarms
from mesh.resilience.breaker_names import Key
from mesh.resilience.quality import Trial, version_of

if TYPE_CHECKING:
    from mesh.contract_net.initiator import Initiator
    from mesh.contract_net.negotiation import Negotiation

UNUSED, UNSTAMPED = Usage(), Stamps()
TakeUp = Callable[[int], "Negotiation"]
"""Makes the auction whose next award has this number."""


class QuietAward:
    """One award to the winner of `sample`. `run` it once; it is the waiter for its own answer."""

    __slots__ = (
        "_alarm", "_delivered", "_ending", "_initiator", "_line", "_peer", "_permission", "_record", "_started",
        "_take_up", "award", "call", "conversation", "policy", "reply", "responder", "sample", "sent_at", "token",
    )  # fmt: skip

    def __init__(
        self,
        initiator: Initiator,
        call: Call,
        policy: SelectionPolicy,
        sample: Sample | Proposals,
        conversation: str,
        take_up: TakeUp,
    ) -> None:
        self.call = call
        self.policy = policy
        self.sample = sample
        self.conversation = conversation
        self.award = f"{conversation}.1"
        self.responder = sample.address.process
        self.reply = self.token = ""
        self.sent_at: float | None = None
        self._initiator = initiator
        self._peer = initiator.peer
        self._take_up = take_up
        self._started = sample.at
        self._ending: asyncio.Future[Contracted | Negotiation]
        self._delivered = False
        self._line: AwardLine | None = None
        self._alarm: Alarm | None = None
        self._permission: Permission | None = None
        self._record: AwardRecord | None = None

    # -- the caller's coroutine

    async def run(self, ledger: AwardLedger | None) -> Contracted:
        """Award, and wait for what is delivered: quietly, or by the auction that takes over. Raises as `Negotiation.run`."""
        self._ending = alarms().loop.create_future()
        try:
            if ledger is not None:
                await ledger.award(self.record)
                if self.call.deadline.expired:
                    raise faults.expired(self.call.capability, "awarded")
            self.token = self._peer.exchange.expect(self)
            self._initiator.quiet.add(self)
            if self._admitted() and (rest := self._send()) is not None:
                await rest
                self._left()
            ended = await self._ending
        except BaseException as error:
            self._leave(error)
            raise
        return ended if isinstance(ended, Contracted) else await ended.go_on()

    def _admitted(self) -> bool:
        """Ask the breaker for one call; a refusal of it is as a decline of the winner."""
        key, capability, breakers = self.sample.key, self.call.capability, self._peer.breakers
        breaker = breakers.find(key, capability)
        if breaker is None:
            breaker = breakers.of(key, capability, timeout=self._initiator.declared.timeout(capability))
        trial = self._trial if self._peer.quality.troubled else None
        try:
            self._permission = Permission.ask(breaker, self._started, self.call.deadline.at, trial)
        except BreakerOpen as error:
            winner = self.sample.address
            refusal = Refusal(agent=winner.agent, instance=winner.instance, reason="breaker", message=error.message)
            self.event(m.Declined(self.award, self.responder, refusal))
            return False
        return True

    def _trial(self) -> Trial | None:
        return self._peer.quality.admit(self._output, self.call.deadline.at)

    def _send(self) -> Awaitable[None] | None:
        """Let it leave; a large one leaves while this is awaited."""
        peer, subject, envelope = self._peer, self._initiator.addresses.of(self.sample.address), self._envelope()
        if peer.telemetry.heard:
            self._initiator.awarded(self.call, self.record)
        data = encode(envelope)
        if len(data) > LIMIT:
            return peer.exchange.send(subject, envelope, reply=self.reply)
        peer.bus.publish(subject, data, reply=self.reply)
        self._left()
        return None

    def _envelope(self) -> Envelope:
        call = self.call
        content = AcceptProposal(
            conversation=self.conversation,
            award=self.award,
            capability=call.capability,
            proposal=self.sample.proposal,
            effect=call.effect or "costly",
            input=call.input,
        )
        sender = call.sender or Sender("", "", self._peer.process)
        return act(call, sender, self._peer.ids, content, key=call.key, version=self._peer.tongue.version)

    def _left(self) -> None:
        """It is on its way: its winner has `patience` seconds to answer, the deadline permitting."""
        if self._line is not None:
            self._line.hears.event(m.Sent(self.award))
            return
        self._initiator.market.sent(self.sample.key)
        self.sent_at = self._peer.clock.monotonic()
        due = min(self.call.deadline.at, self.sent_at + self.policy.patience)
        self._alarm = alarms().at(due, self._ticked)

    def _leave(self, error: BaseException) -> None:
        """The caller has gone, or nothing could be sent: whoever has bid is told."""
        if self._line is None and self.sent_at is None and not self.sample.proposal:
            self._close()
            self._peer.exchange.forget(self.token)
            if self._permission is not None:
                self._permission.settle("ignored", self._peer.clock)
        elif not self._delivered:
            self._loud().hears.leave(error)
        elif self._permission is not None:
            self._permission.unjudged()

    # -- what comes back

    def answered(self, envelope: Envelope) -> None:
        """The result ends it; anything else is for the auction."""
        if self._line is None and not envelope.seq and (result := result_in(envelope)) is not None:
            self._deliver(envelope, result)
        else:
            self._loud().heard(Inbound(envelope=envelope, sender=self.responder, token=self.token))

    def heard(self, answer: Inbound) -> None:
        """As `answered`."""
        self.answered(answer.envelope)

    def failed(self, error: MeshError) -> None:
        """There will be no answer."""
        self._loud().failed(error)

    def _deliver(self, envelope: Envelope, result: InformResult) -> None:
        initiator, key, capability = self._initiator, self.sample.key, self.call.capability
        self._close()
        self._peer.exchange.forget(self.token)
        if result.bid is not None:
            initiator.market.learn(key, capability, result.bid)
        initiator.market.taken(capability, declined=False)
        initiator.market.answered(key)
        now, usage = self._peer.clock.monotonic(), envelope.usage or UNUSED
        seconds = None if self.sent_at is None else now - self.sent_at
        sample = self.sample
        initiator.learning.record.delivered(
            sample.bidder, capability, sample.bid, now, seconds, usage.money, founded=sample.founded
        )
        if self._permission is not None:
            self._permission.settle("success", self._peer.clock)
        initiator.watching.freed(capability)
        for each in self.sample.losers():
            initiator.rejections.add(self.call, self.conversation, each)
        self._delivered = True
        if not self._ending.done():
            stamps = envelope.stamps or UNSTAMPED
            self._ending.set_result(
                Contracted(result.content, usage, lambda: self.record, stamps, (), envelope.degraded, self._output)
            )

    @property
    def _output(self) -> Key:
        """Whose output it will be: that of a version, for this capability."""
        winner = self.sample.bidder
        return version_of(winner.agent, winner.version), self.call.capability

    def _close(self) -> None:
        self._initiator.quiet.discard(self)
        if self._alarm is not None:
            self._alarm.cancel()

    # -- when it is quiet no more

    def event(self, event: m.Event) -> None:
        """Something happened around it."""
        self._loud().hears.event(event)

    def _ticked(self) -> None:
        self.event(m.Ticked())

    def _loud(self) -> AwardLine:
        """The line of the auction that has taken over; from now on, if it has not before."""
        if self._line is None:
            self._close()
            negotiation = self._take_up(2)
            self._line = AwardLine(negotiation, self.record.won, self.award, 1)
            negotiation.adopt(self, self._started, self._permission)
            if not self._ending.done():
                self._ending.set_result(negotiation)
        return self._line

    @property
    def record(self) -> AwardRecord:
        """The line of the ledger: every bid with its score, and why. Written when somebody wants to read it."""
        if self._record is None:
            call, sample = self.call, self.sample
            choice = explain(
                sample.candidates(), sample.key, call.constraints, call.deadline.at - sample.at, self.policy,
                self._peer.ids.random, known=sample.known, explored=sample.explored,
            )  # fmt: skip
            if sample.trial:
                choice = choice._replace(reason=f"a trial call: it had failed, and may be well again; {choice.reason}")
            clock, terms = self._peer.clock, call.terms(self.conversation, sample.mode)
            at = clock.now() - (clock.monotonic() - sample.at)
            self._record = written(
                terms,
                choice,
                self.award,
                at,
                mode=sample.mode,
                known=sample.known,
                refusals=sample.refusals(),
                policy=self.policy,
            )
        return self._record
