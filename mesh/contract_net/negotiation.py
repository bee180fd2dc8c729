"""One auction, carried out: its commands become messages and journal entries, what comes back becomes its events.

Messages and timers are handled where they arrive, without a task of their own. What has to be awaited (the ledger, large
payloads) is left to the coroutine that called, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.exchanging.inbound import Inbound
from mesh.contract_net.calls import Call, Contracted
from mesh.contract_net.composing import call_for_proposals, names
from mesh.contract_net.items import Items, OnItem
from mesh.contract_net.ledger import AwardLedger
from mesh.contract_net.line import AwardLine, CallLine, Line
from mesh.contract_net.mail import Mail
from mesh.contract_net.permission import Permission
from mesh.contract_net.track_record import bidder
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import AcceptProposal, Bid, CallForProposal, Cancel, Proposal, Refusal
from mesh.protocols.auction import Auction
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import (
    BadResult,
    BreakerOpen,
    DeadlineExceeded,
    InDoubt,
    MeshError,
    Overloaded,
    TimedOut,
    Unavailable,
    from_fault,
)
from mesh.protocols.learned import Learned
from mesh.protocols.naming.calls import ANYONE
from mesh.resilience.alarms import Alarm, alarms
from mesh.resilience.breaker_names import Key
from mesh.resilience.outcome import outcome
from mesh.resilience.quality import version_of

if TYPE_CHECKING:
    from mesh.contract_net.initiator import Initiator
    from mesh.contract_net.quiet import QuietAward

OnProgress = Callable[[Any], None]
EXPIRED = frozenset({DeadlineExceeded.code, InDoubt.code})
"""What a call ends with whose winner let the deadline pass."""


class Negotiation:
    """Holds one auction for `call`. `run` it once."""

    def __init__(
        self,
        initiator: Initiator,
        call: Call,
        auction: Auction,
        *,
        ledger: AwardLedger | None = None,
        hands_over: Callable[[], bool] = lambda: False,
        on_progress: OnProgress | None = None,
        on_item: OnItem | None = None,
    ) -> None:
        self.call = call
        self.auction = auction
        self.evidence: list[m.Succeeded | m.Faulted] = []
        self._initiator = initiator
        self._peer = initiator.peer
        self._market = initiator.market
        self._hands_over = hands_over
        self._ledger, self._on_progress = ledger, on_progress
        self._mail = Mail(self._peer, initiator.addresses, call, self._send_later)
        self._loop = asyncio.get_running_loop()
        self._commands: deque[m.Command] = deque()
        self._later: deque[Callable[[], Awaitable[None]]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._timer: Alarm | None = None
        self._timer_due: float | None = None
        self._linger: Alarm | None = None
        self._busy = False
        self._error: Exception | None = None
        self._unanswered = ""
        self._sent_at: float | None = None
        self._permission: Permission | None = None
        self._items = Items(on_item)

    # -- the caller's coroutine

    async def run(self, resume: AwardRecord | None = None) -> Contracted:
        """Hold the auction; with `resume`, go on from a journaled award.

        Raises:
            NoBids · AgentLost · InDoubt · DeadlineExceeded · CallCycle, or whatever typed error the winner's work had.
        """
        now = self._peer.clock.monotonic()
        try:
            self._carry_out(self.auction.open(now) if resume is None else self.auction.resume(resume, now))
        except BaseException as error:
            self.leave(error)
            raise
        return await self.go_on()

    async def go_on(self) -> Contracted:
        """See an auction that is under way to its end. Raises as `run`."""
        try:
            while not self.auction.over or self._error is not None:
                await self._next()
        except BaseException as error:
            self.leave(error)
            raise
        self._end()
        return self._contracted()

    def leave(self, error: BaseException) -> None:
        """Nobody waits for the end any more: the winner is told to stop, unless somebody else goes on with the work."""
        if not self._hands_over():
            self._stop(str(error) if isinstance(error, MeshError) else "the caller went away")
        self._end()

    def adopt(self, quiet: QuietAward, started: float, permission: Permission | None) -> None:
        """Go on from an award that is not quiet any more."""
        self._mail.keep(quiet.token)
        self._permission = permission
        self._unanswered = quiet.sample.key if quiet.sent_at is not None else ""
        self._sent_at = quiet.sent_at
        called, proposed = quiet.sample.heard()
        self.auction.adopt(called, quiet.record, started, quiet.sent_at, proposed)
        self._set_timer()

    def adopt_call(self, called: m.Called, tokens: Iterable[str], started: float) -> None:
        """Go on from a call that is out already, and is not quiet any more; its answers come next."""
        for each in tokens:
            self._mail.keep(each)
        self.auction.open(started)
        self._carry_out(self.auction.handle(called, started))

    async def _next(self) -> None:
        if self._error is not None:
            raise self._error
        if self._later:
            await self._later.popleft()()
        else:
            self._wake = self._loop.create_future()
            await self._wake

    def _contracted(self) -> Contracted:
        outcome = self.auction.outcome
        assert outcome is not None
        if outcome.fault is not None:
            raise from_fault(outcome.fault)
        assert outcome.record is not None
        items = self._items.all()
        content = outcome.content
        if items and bytes(content) == b"null":
            content = msgspec.Raw(b"[" + b",".join(bytes(each) for each in items) + b"]")
        output = _output(outcome.record.won, self.call.capability)
        return Contracted(content, outcome.usage, outcome.record, outcome.stamps, items, outcome.degraded, output)

    def _stop(self, reason: str) -> None:
        if not self.auction.over:
            self._error = None
            self.event(m.CancelAsked(reason))

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._answered()
        self._give_back()
        self._initiator.ended(self)

    def expire_after(self, seconds: float) -> None:
        """Hear what still comes for so long."""
        due = self._peer.clock.monotonic() + seconds
        self._linger = alarms().at(due, lambda: self._initiator.forget(self))

    def close(self) -> None:
        """Hear nothing more. Again: nothing happens."""
        if self._linger is not None:
            self._linger.cancel()
        self._mail.close()

    # -- events

    def event(self, event: m.Event, at: float = 0.0) -> None:
        """Something happened, at `at` or, if that has passed, now: let the auction decide, and do what it says."""
        self._note(event)
        self._carry_out(self.auction.handle(event, max(at, self._peer.clock.monotonic())))

    def _carry_out(self, commands: list[m.Command]) -> None:
        """Do them in order; events that this causes are handled in turn, not within."""
        self._commands.extend(commands)
        if self._busy:
            return
        self._busy = True
        try:
            while self._commands:
                command = self._commands.popleft()
                _DO[type(command)](self, command)
        except Exception as error:  # noqa: BLE001 - whoever waits for the result must hear of it, and not wait for ever
            self.broken(error)
        finally:
            self._busy = False
        self._set_timer()

    def _set_timer(self) -> None:
        due = self.auction.due
        if self._timer is not None and self._timer_due != due:
            self._timer.cancel()
            self._timer = None
        if due is None:
            self._wake_up()
            return
        if self._timer is None:
            self._timer, self._timer_due = alarms().at(due, self._ticked), due
        self._initiator.watch(self)

    def _ticked(self) -> None:
        """An alarm may be early by less than the clock can tell; the auction is told the time it was set to."""
        self._timer = None
        self.event(m.Ticked(), self._timer_due or 0.0)

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def broken(self, error: Exception) -> None:
        """It cannot go on: the caller gets the error."""
        self._error = self._error or error
        self._wake_up()

    def _soon(self, work: Callable[[], Awaitable[None]]) -> None:
        self._later.append(work)
        self._wake_up()

    def _send_later(self, sending: Callable[[], Awaitable[None]], line: Line) -> None:
        """A large message leaves a little later; an award counts as sent then."""

        async def sent() -> None:
            await sending()
            if isinstance(line, AwardLine):
                self.event(m.Sent(line.award))

        self._soon(sent)

    def _note(self, event: m.Event) -> None:
        """What an event means for the breaker and for our own count of unanswered awards."""
        if isinstance(event, m.Succeeded | m.Faulted | m.Declined | m.Confirmed | m.Progressed | m.Vanished):
            record = self.auction.record
            if record is None or event.award != record.award:
                return
            if self._unanswered:
                declined = isinstance(event, m.Declined) and event.refusal.reason == "capacity"
                self._market.taken(self.call.capability, declined=declined)
            self._answered()
            if isinstance(event, m.Faulted) and event.fault.code == BadResult.code:
                self._peer.quality.misfits(_output(record.won, record.capability))
            if isinstance(event, m.Succeeded | m.Faulted):
                self._settle_breaker(from_fault(event.fault) if isinstance(event, m.Faulted) else None)

    def _answered(self) -> None:
        if self._unanswered:
            key, self._unanswered = self._unanswered, ""
            self._market.answered(key)
            self._initiator.freed(self.call.capability)

    # -- commands: the call

    def _survey(self, survey: m.Survey) -> None:
        call, market, policy = self.call, self._market, self.auction.policy
        if survey.mode == "standing":
            candidates, known = market.standing(
                call.capability, call.constraints, call.deadline.at, policy, chain=call.chain, avoid=survey.avoid
            )
            self.event(m.Called(candidates=candidates, known=known))
            return
        if survey.mode == "broadcast":
            expected = market.processes(call.capability)
            self._mail.to_everybody(call.capability, self._call_for_proposals(survey), CallLine(self, ANYONE))
            self.event(m.Called(expected=expected, known=len(expected)))
            return
        asked, known = market.directed(call.capability, call.constraints, policy, chain=call.chain, avoid=survey.avoid)
        for process, there in asked.items():
            self._mail.to_instance(
                there[0].record, self._call_for_proposals(survey, names(there)), CallLine(self, process, process)
            )
        self.event(m.Called(expected=frozenset(asked), known=known))

    def _call_for_proposals(self, survey: m.Survey, instances: tuple[str, ...] = ()) -> CallForProposal:
        talk = self.auction.terms.conversation
        return call_for_proposals(self.call, talk, survey.window, round=survey.round, instances=instances)

    def _reject(self, reject: m.Reject) -> None:
        self._mail.reject(self.auction.terms.conversation, (reject.candidate, *reject.others), reject.reason)

    # -- commands: the award

    def _award(self, award: m.Award) -> None:
        if self._ledger is None:
            self._send_award(award.record, award.winner, 1)
        else:
            self._soon(lambda: self._journal_then_send(award))

    async def _journal_then_send(self, award: m.Award) -> None:
        assert self._ledger is not None
        await self._ledger.award(award.record)
        if not self.auction.over and self.auction.record is award.record:
            self._send_award(award.record, award.winner, 1)

    def _probe(self, probe: m.Probe) -> None:
        """A probe that cannot leave, the server being away, is as one that is not answered."""
        with contextlib.suppress(Unavailable, Overloaded):
            self._send_award(probe.record, probe.winner, probe.attempt)

    def _send_award(self, record: AwardRecord, winner: Candidate, attempt: int) -> None:
        if attempt == 1 and not self._admitted(record, winner):
            return
        content = AcceptProposal(
            conversation=record.conversation,
            award=record.award,
            capability=record.capability,
            proposal=winner.proposal,
            effect=record.effect,
            input=self.call.input,
        )
        if attempt == 1:
            self._initiator.awarded(self.call, record)
            self._unanswered = winner.key
            self._sent_at = self._peer.clock.monotonic()
            self._market.sent(winner.key)
        line = AwardLine(self, winner, record.award, attempt)
        if self._mail.to_instance(winner, content, line, key=self.call.key, attempt=attempt):
            self.event(m.Sent(record.award))

    def _admitted(self, record: AwardRecord, winner: Candidate) -> bool:
        """Ask the breaker for one call; a refusal of it is as a decline of the winner."""
        self._give_back()
        now = self._peer.clock.monotonic()
        listing = self._peer.directory.listing(winner.key)
        target, what = self._market.breaker(listing, record.capability) if listing else (winner.key, record.capability)
        breaker = self._peer.breakers.of(target, what, timeout=self._initiator.timeout(record.capability))
        try:
            if self._peer.quality.troubled:
                self._peer.quality.admit(_output(winner, record.capability), self.call.deadline.at)
            self._permission = Permission.ask(breaker, now, self.call.deadline.at)
        except BreakerOpen as error:
            refusal = Refusal(agent=winner.agent, instance=winner.instance, reason="breaker", message=error.message)
            self.event(m.Declined(record.award, winner.process, refusal))
            return False
        return True

    def _settle_breaker(self, error: MeshError | None, *, lost: bool = False) -> None:
        permission, self._permission = self._permission, None
        if permission is not None:
            permission.settle("failure" if lost else outcome(error), self._peer.clock)

    def _give_back(self) -> None:
        """An award ended without a word of its winner: its permit is free again."""
        permission, self._permission = self._permission, None
        if permission is not None:
            fault = self.auction.outcome.fault if self.auction.outcome else None
            permission.give_back(self._peer.clock, expired=fault is not None and fault.code in EXPIRED)

    def _cancel(self, cancel: m.CancelAward) -> None:
        content = Cancel(conversation=cancel.record.conversation, award=cancel.record.award, reason=cancel.reason)
        self._mail.tell(cancel.winner, content)

    # -- commands: what is noted

    def _settle(self, settle: m.Settle) -> None:
        self._initiator.settled(settle, self.call.capability, self._sent_at)
        if not settle.late:
            self._settle_breaker(None, lost=not settle.kept)
        self._answered()

    def _suspect(self, suspect: m.Suspect) -> None:
        self._peer.directory.suspect(suspect.candidate.process, suspect.why)

    def _evidence(self, evidence: m.Evidence) -> None:
        self.evidence.append(evidence.result)
        self._initiator.late(self, evidence.result)

    # -- what its lines tell

    def part(self, award: str, by: str, envelope: Envelope) -> None:
        """An item or progress: a sign of life, and something for the caller. A gap among the items breaks the call."""
        record = self.auction.record
        if record is None or award != record.award or self.auction.over:
            return
        if envelope.kind == "item":
            try:
                self._items.take(award, envelope)
            except TimedOut as error:
                self.broken(error)
                return
        if envelope.kind == "progress" and self._on_progress is not None:
            self._on_progress(msgspec.json.decode(envelope.payload))
        self.event(m.Progressed(award, by))

    def learn(self, process: str, agent: str, instance: str, bid: Bid | None) -> None:
        """A fresh bid came along."""
        if bid is not None:
            self._market.learn(f"{process}.{agent}.{instance}", self.call.capability, bid)

    def learned(self, proposal: Proposal) -> Learned | None:
        """What is believed of whoever proposes this, beyond the bid."""
        return self._market.learned(self.call.capability, bidder(proposal))

    def judged(self, candidate: Candidate) -> Candidate:
        """A proposal of somebody in doubt counts for nothing while there are others."""
        objection = self._initiator.trials.objection(candidate.key, self.call.capability)
        return msgspec.structs.replace(candidate, rejected_because=objection) if objection else candidate

    def fetch(self, answer: Inbound, then: Callable[[Inbound], None]) -> None:
        """A large answer: get its payload, within the deadline, then go on."""

        async def fetched() -> None:
            try:
                whole = await self._peer.exchange.payloads.whole(answer.envelope)
            except MeshError as error:
                self.broken(error)
            else:
                then(msgspec.structs.replace(answer, envelope=whole))

        self._peer.spawn(fetched(), "fetch an answer")


def _output(winner: Candidate, capability: str) -> Key:
    return version_of(winner.agent, winner.version), capability


_DO: dict[type, Callable[[Negotiation, Any], None]] = {
    m.Survey: Negotiation._survey,
    m.Reject: Negotiation._reject,
    m.Award: Negotiation._award,
    m.Probe: Negotiation._probe,
    m.CancelAward: Negotiation._cancel,
    m.Settle: Negotiation._settle,
    m.Suspect: Negotiation._suspect,
    m.Evidence: Negotiation._evidence,
}
