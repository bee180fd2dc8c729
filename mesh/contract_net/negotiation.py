"""One auction, carried out: its commands become messages and journal entries, what comes back becomes its events.

`Surveying` does those about the call, `Awarding` those about the awards; here is who waits for the end, and the time. Messages and timers are handled where they arrive, without a task of their own. What has to be awaited (the ledger, large
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
from mesh.contract_net.awarding import Awarding
from mesh.contract_net.calls import Call, Contracted, output_of
from mesh.contract_net.items import Items, OnItem
from mesh.contract_net.ledger import AwardLedger
from mesh.contract_net.line import AwardLine, Line
from mesh.contract_net.mail import Mail
from mesh.contract_net.permission import Permission
from mesh.contract_net.surveying import Surveying
from mesh.contract_net.track_record import bidder
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Bid, Proposal
from mesh.protocols.auction import Auction
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.constraints import stricter
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import MeshError, TimedOut, from_fault
from mesh.protocols.learned import Learned
from mesh.resilience.alarms import Alarm, alarms

if TYPE_CHECKING:
    from mesh.contract_net.initiator import Initiator
    from mesh.contract_net.quiet import QuietAward

OnProgress = Callable[[Any], None]


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
        self._on_progress = on_progress
        self._mail = Mail(self._peer, initiator.addresses, call, self._send_later)
        self._surveying: Surveying = Surveying(self, initiator.market, self._mail)
        self._awarding: Awarding = Awarding(self, initiator, self._mail, ledger)
        self._loop = asyncio.get_running_loop()
        self._commands: deque[m.Command] = deque()
        self._later: deque[Callable[[], Awaitable[None]]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._timer: Alarm | None = None
        self._timer_due: float | None = None
        self._linger: Alarm | None = None
        self._busy = False
        self._handed_over = False
        self._error: Exception | None = None
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
        self._handed_over = self._hands_over()
        if not self._handed_over:
            self._stop(str(error) if isinstance(error, MeshError) else "the caller went away")
        self._end()
        self._awarding.left()

    def adopt(self, quiet: QuietAward, started: float, permission: Permission | None) -> None:
        """Go on from an award that is not quiet any more."""
        self._awarding.adopt(quiet, permission)
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
        output = output_of(outcome.record.won, self.call.capability)
        return Contracted(content, outcome.usage, outcome.record, outcome.stamps, items, outcome.degraded, output)

    def _stop(self, reason: str) -> None:
        if not self.auction.over:
            self._error = None
            self.event(m.CancelAsked(reason))

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._awarding.ended()
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
        """Something happened, at `at` or, if that has passed, now: let the auction decide, and do what it says. Where somebody else
        goes on with the work, that is not ours to decide any more."""
        self._awarding.heard(event)
        if self._handed_over:
            return
        try:
            commands = self.auction.handle(event, max(at, self._peer.clock.monotonic()))
        except Exception as error:  # noqa: BLE001 - the chooser is the caller's own; as for the commands
            self.broken(error)
        else:
            self._carry_out(commands)

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
        self._initiator.watching.look(self)

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

    def soon(self, work: Callable[[], Awaitable[None]]) -> None:
        """Leave it to the coroutine that called, in order."""
        self._later.append(work)
        self._wake_up()

    def _send_later(self, sending: Callable[[], Awaitable[None]], line: Line) -> None:
        """A large message leaves a little later; an award counts as sent then. Nobody waits for a copy of one to leave."""
        if isinstance(line, AwardLine) and line.attempt > 1:
            self._peer.spawn(_if_it_can(sending), "a copy of an award")
            return

        async def sent() -> None:
            await sending()
            if isinstance(line, AwardLine):
                self.event(m.Sent(line.award))

        self.soon(sent)

    # -- what is noted

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

    def whole(self, award: str, envelope: Envelope) -> bool:
        """Whether every item came of which this result is the end; if not, the call breaks, as by a gap among them."""
        record = self.auction.record
        if record is not None and award == record.award and not self.auction.over:
            try:
                self._items.check(award, envelope)
            except TimedOut as error:
                self.broken(error)
                return False
        return True

    def learn(self, process: str, agent: str, instance: str, bid: Bid | None) -> None:
        """A fresh bid came along."""
        if bid is not None:
            self._market.learn(f"{process}.{agent}.{instance}", self.call.capability, bid)

    def learned(self, proposal: Proposal) -> Learned | None:
        """What is believed of whoever proposes this, beyond the bid."""
        return self._market.learned(self.call.capability, bidder(proposal))

    def judged(self, candidate: Candidate) -> Candidate:
        """A proposal of somebody in doubt counts for nothing while there are others. Its effect is the stricter of what it says
        itself and what is listed of it, or of anybody."""
        objection = self._initiator.trials.objection(candidate.key, self.call.capability)
        effect = stricter(candidate.effect, self._initiator.declared.of(candidate.key, self.call))
        return msgspec.structs.replace(candidate, rejected_because=objection, effect=effect)

    def fetch(self, answer: Inbound, then: Callable[[Inbound], None], unread: Callable[[Inbound], None]) -> None:
        """A large answer: get its payload, then go on; `unread` if it cannot be had."""

        async def fetched() -> None:
            try:
                whole = await self._peer.exchange.payloads.whole(answer.envelope)
            except MeshError as error:
                self._peer.count("unfetched", error=error.code)
                unread(answer)
            else:
                then(msgspec.structs.replace(answer, envelope=whole))

        self._peer.spawn(fetched(), "fetch an answer")


async def _if_it_can(sending: Callable[[], Awaitable[None]]) -> None:
    """A copy that cannot leave is as one that is not answered."""
    with contextlib.suppress(MeshError):
        await sending()


_DO: dict[type, Callable[[Negotiation, Any], None]] = {
    m.Survey: lambda self, command: self._surveying.survey(command),
    m.Reject: lambda self, command: self._surveying.reject(command),
    m.Award: lambda self, command: self._awarding.award(command),
    m.Probe: lambda self, command: self._awarding.probe(command),
    m.CancelAward: lambda self, command: self._awarding.cancel(command),
    m.Settle: lambda self, command: self._awarding.settle(command),
    m.Suspect: Negotiation._suspect,
    m.Evidence: Negotiation._evidence,
}
