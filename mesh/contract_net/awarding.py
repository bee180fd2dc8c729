"""`Awarding`: the awards of one negotiation. Each is let through by the breakers, journaled, sent, and counted until it is answered."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mesh.contract_net.admittance import Admittance
from mesh.contract_net.calls import output_of
from mesh.contract_net.ledger import AwardLedger
from mesh.contract_net.line import AwardLine
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import AcceptProposal, Cancel, Refusal
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.errors import (
    BadResult,
    BreakerOpen,
    DeadlineExceeded,
    InDoubt,
    Overloaded,
    Unavailable,
    from_fault,
)
from mesh.resilience.outcome import outcome

if TYPE_CHECKING:
    from mesh.contract_net.initiator import Initiator
    from mesh.contract_net.mail import Mail
    from mesh.contract_net.negotiation import Negotiation
    from mesh.contract_net.permission import Permission
    from mesh.contract_net.quiet import QuietAward

EXPIRED = frozenset({DeadlineExceeded.code, InDoubt.code})
"""What a call ends with whose winner let the deadline pass."""
HEARD = m.Succeeded | m.Faulted | m.Declined | m.Confirmed | m.Progressed | m.Vanished
"""What shows that an award is not unanswered any more."""


class Awarding:
    """One award at a time. `sent_at` is when the present one left, on the monotonic clock, if anybody knows."""

    def __init__(self, negotiation: Negotiation, initiator: Initiator, mail: Mail, ledger: AwardLedger | None) -> None:
        self.sent_at: float | None = None
        self._negotiation = negotiation
        self._call = negotiation.call
        self._auction = negotiation.auction
        self._initiator = initiator
        self._peer = initiator.peer
        self._market = initiator.market
        self._mail = mail
        self._ledger = ledger
        self._admittance = Admittance(initiator.peer)
        self._unanswered = ""

    def adopt(self, quiet: QuietAward, permission: Permission | None) -> None:
        """An award that left outside."""
        self._mail.keep(quiet.token)
        self._admittance.adopt(permission)
        self._unanswered = quiet.sample.key if quiet.sent_at is not None else ""
        self.sent_at = quiet.sent_at

    # -- commands

    def award(self, award: m.Award) -> None:
        """Journal it, if somebody keeps a ledger, then send it."""
        if self._ledger is None:
            self._send_first(award.record, award.winner)
        else:
            self._negotiation.soon(lambda: self._journal_then_send(award))

    async def _journal_then_send(self, award: m.Award) -> None:
        assert self._ledger is not None
        await self._ledger.award(award.record)
        if not self._auction.over and self._auction.record is award.record:
            self._send_first(award.record, award.winner)

    def _send_first(self, record: AwardRecord, winner: Candidate) -> None:
        if self._admitted(record, winner):
            self._initiator.awarded(self._call, record)
            self._unanswered = winner.key
            self.sent_at = self._peer.clock.monotonic()
            self._market.sent(winner.key)
            self._send(record, winner, 1)

    def probe(self, probe: m.Probe) -> None:
        """A copy that cannot leave, the server being away, is as one that is not answered."""
        with contextlib.suppress(Unavailable, Overloaded):
            self._send(probe.record, probe.winner, probe.attempt)

    def _send(self, record: AwardRecord, winner: Candidate, attempt: int) -> None:
        content = AcceptProposal(
            conversation=record.conversation,
            award=record.award,
            capability=record.capability,
            proposal=winner.proposal,
            effect=record.effect,
            input=self._call.input,
        )
        line = AwardLine(self._negotiation, winner, record.award, attempt)
        if self._mail.to_instance(winner, content, line, key=self._call.key, attempt=attempt):
            self._negotiation.event(m.Sent(record.award))

    def cancel(self, cancel: m.CancelAward) -> None:
        """A former winner is told to stop."""
        content = Cancel(conversation=cancel.record.conversation, award=cancel.record.award, reason=cancel.reason)
        self._mail.tell(cancel.winner, content)

    def settle(self, settle: m.Settle) -> None:
        """A commitment was kept or broken."""
        self._initiator.settled(settle, self._call.capability, self.sent_at)
        if not settle.late:
            self._admittance.settle("success" if settle.kept else "failure")
        self._answered()

    # -- breakers

    def _admitted(self, record: AwardRecord, winner: Candidate) -> bool:
        """Ask the breakers for one call; a refusal of theirs is as a decline of the winner."""
        now = self._peer.clock.monotonic()
        listing = self._peer.directory.listing(winner.key)
        target, what = self._market.breaker(listing, record.capability) if listing else (winner.key, record.capability)
        breaker = self._peer.breakers.of(target, what, timeout=self._initiator.declared.timeout(record.capability))
        try:
            self._admittance.ask(breaker, output_of(winner, record.capability), now, self._call.deadline.at)
        except BreakerOpen as error:
            refusal = Refusal(agent=winner.agent, instance=winner.instance, reason="breaker", message=error.message)
            self._negotiation.event(m.Declined(record.award, winner.process, refusal))
            return False
        return True

    # -- what comes back

    def heard(self, event: m.Event) -> None:
        """What an event means for the breakers and for our own count of unanswered awards."""
        record = self._auction.record
        if not isinstance(event, HEARD) or record is None or event.award != record.award:
            return
        if self._unanswered:
            declined = isinstance(event, m.Declined) and event.refusal.reason == "capacity"
            self._market.taken(self._call.capability, declined=declined)
        self._answered()
        if isinstance(event, m.Declined):
            self._admittance.give_back()
        elif isinstance(event, m.Faulted):
            if event.fault.code == BadResult.code:
                self._peer.quality.misfits(output_of(record.won, record.capability))
            self._admittance.settle(outcome(from_fault(event.fault)))
        elif isinstance(event, m.Succeeded):
            self._admittance.settle("success")

    def _answered(self) -> None:
        if self._unanswered:
            key, self._unanswered = self._unanswered, ""
            self._market.answered(key)
            self._initiator.watching.freed(self._call.capability)

    def ended(self) -> None:
        """The negotiation is over: what nobody has answered for is free again."""
        self._answered()
        fault = self._auction.outcome.fault if self._auction.outcome else None
        self._admittance.give_back(expired=fault is not None and fault.code in EXPIRED)

    def left(self) -> None:
        """Nobody waits for what may have been delivered."""
        self._admittance.unjudged()
