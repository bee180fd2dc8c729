"""The initiator of a contract net, as a machine without I/O: events in, commands out, time and chance handed in.

An auction opens a call for proposals, evaluates what came, awards the work, and sees it to an end:

- The call closes when everybody expected has answered or its window is over. Standing bids close it at once.
- Nobody listens (503): no bids, at once. Nobody acceptable: another round, while that may help and time is left.
- A decline falls to the next best; after a declined standing award, instances are asked before they are awarded.
- A winner that does not answer is probed with a copy of the award. No answer, or a 503: it is lost, and told to stop.
- Lost work is awarded again if its effect allows; work that may be done at most once is in doubt, unless the winner
  certainly never got it: a 503 to the first copy, or its own refusal to begin.
- Whatever arrives for an award that is no longer the present one is evidence, and changes nothing.

Every auction ends: its deadline is the last of its timers. The call and the choice stand in `auction_calling.py`, what follows
an award here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from mesh.protocols import auction_faults as faults
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Refusal
from mesh.protocols.auction_calling import Calling
from mesh.protocols.auction_states import HELD, TERMINAL
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.errors import Cancelled, Fenced, MeshError, from_fault
from mesh.protocols.vigil import Vigil


class Auction(Calling):
    """One conversation from its call to its end. `wall` is only used to date the records; `again` is asked before work is
    awarded once more that may have begun, or whose winner did not answer: what fails must not be buried in further awards.
    Whoever declines has answered, and begun nothing: that the next best gets it is bidding, and nobody is asked."""

    # -- from outside

    def open(self, now: float) -> list[m.Command]:
        """Open the first call. Once."""
        self._out.append(self.rounds.survey(now))
        return self._flush()

    def resume(self, record: AwardRecord, now: float) -> list[m.Command]:
        """Go on from a journaled award of which nobody knows whether it was sent. Once, instead of `open`."""
        self.state, self._number = "awarded", record.number
        self.rounds.number, self.rounds.mode = record.round, record.mode
        self._vigil = Vigil(record, record.won, self.policy)
        self._probe(self._vigil, now)
        return self._flush()

    def adopt(
        self,
        called: m.Called,
        record: AwardRecord,
        now: float,
        sent_at: float | None,
        proposed: Iterable[m.Proposed] = (),
    ) -> None:
        """Go on from an award that was made outside: as if it had been called, `proposed` and chosen at `now`, and sent at
        `sent_at` (None: it has not left yet). Once, instead of `open`.
        """
        self._tender.called(called, now, self.terms.deadline)
        for each in proposed:
            self._tender.proposed(each, now)
        self.state, self._number = "awarded", record.number
        self._vigil = Vigil(record, record.won, self.policy)
        if sent_at is not None:
            self._vigil.left(sent_at)

    def handle(self, event: m.Event, now: float) -> list[m.Command]:
        """What to do about an event. Duplicates and stragglers of any kind are harmless."""
        _HANDLERS[type(event)](self, event, now)
        return self._flush()

    @property
    def _once(self) -> bool:
        """Whether whoever has, or had, the award may do the work at most once."""
        return self._vigil is not None and self._vigil.record.effect == "at_most_once"

    @property
    def over(self) -> bool:
        """Whether it has ended; `outcome` is there then."""
        return self.state in TERMINAL

    @property
    def due(self) -> float | None:
        """When a `Ticked` is wanted; None when it is over."""
        if self.over:
            return None
        return min(self.terms.deadline, self._timer)

    @property
    def winner(self) -> Candidate | None:
        """Whom it went to."""
        return self._vigil.winner if self._vigil else None

    # -- the award

    def _on_sent(self, event: m.Sent, now: float) -> None:
        if vigil := self._present(event.award):
            vigil.left(now)

    def _on_confirmed(self, event: m.Confirmed | m.Progressed, now: float) -> None:
        if vigil := self._present(event.award, event.by):
            vigil.alive(now)
            running = not isinstance(event, m.Confirmed) or event.running
            if running and self.state != "running":
                self._step("begin")
            elif self.state == "awarded":
                self._step("confirm")
            self._dismiss("outbid", begun=True)

    def _on_finished(self, event: m.Succeeded | m.Faulted, now: float) -> None:
        vigil = self._present(event.award, event.by)
        if vigil is None:
            if event.award in self.given_up:
                self._out.append(m.Evidence(event))
        elif isinstance(event, m.Succeeded):
            self._settle(vigil, kept=True, ending=event)
            self._step("finish")
            self._dismiss("outbid", begun=True)
            self._end(m.Outcome(event.content, event.usage, event.stamps, None, vigil.record, event.degraded))
        elif faults.interrupted(event.fault, vigil.winner):
            self._lost(vigil, now, f"was interrupted: {event.fault.message}", certain=False)
        else:
            self._settle(vigil, kept=True, ending=event if from_fault(event.fault).blame == "target" else None)
            self._step("fault")
            self._end(m.Outcome(usage=event.usage, stamps=event.stamps, fault=event.fault, record=vigil.record))

    def _on_declined(self, event: m.Declined, now: float) -> None:
        vigil = self._present(event.award, event.by)
        if vigil is None:
            return
        reason, message = event.refusal.reason, event.refusal.message
        if reason == "fenced":
            self._step("fault")
            self._fail(Fenced(message or f"{vigil.winner.key} has seen a newer owner of the job"))
        elif reason == "unknown" and self._once:
            self._doubt(vigil, "does not know the award any more")
        elif reason == "unknown" and not self._again():
            self._step("fault")
            self._fail(faults.lost(self._losses + 1, vigil.winner, "does not know the award any more", spent=True))
        elif self.state == "awarded":
            self._next_best(vigil, event.refusal, now)
        else:
            self._lost(vigil, now, f"gave the work back: {reason} {message}".strip(), certain=True)

    def _next_best(self, vigil: Vigil, refusal: Refusal, now: float) -> None:
        if vigil.winner.proposal:
            self._settle(vigil, kept=False)
        self._step("decline")
        self._declines += 1
        self._tender.refusals.append(refusal)
        self._tender.object(vigil.winner.key, faults.said(refusal))
        self._evaluate(now)

    # -- doubt

    def _on_suspected(self, event: m.Suspected, now: float) -> None:
        vigil = self._vigil
        if vigil is None or not self._held:
            return
        if not event.process:
            vigil.forgive(now)
        if not vigil.probes and event.process in ("", vigil.winner.process):
            self._probe(vigil, now)

    def _on_vanished(self, event: m.Vanished, now: float) -> None:
        vigil = self._present(event.award)
        if vigil is None:
            return
        certain = vigil.never_received(event.attempt)
        if certain or not vigil.lenient(now):
            self._lost(vigil, now, "is gone: nobody listens at its subject", certain=certain, gone=True)

    def _probe(self, vigil: Vigil, now: float) -> None:
        self._out.append(m.Probe(vigil.record, vigil.winner, vigil.probe(now)))

    def _lost(self, vigil: Vigil, now: float, why: str, *, certain: bool, gone: bool = False) -> None:
        """The winner is given up. `certain`: it has not begun, and will not. `gone`: the server says that it is not there."""
        if self.state == "awarded" or not certain:
            self._out.append(m.Suspect(vigil.winner, why))
        if self._once and not certain:
            self._doubt(vigil, why)
            return
        self._settle(vigil, kept=False)
        self._give_up("the award goes to another")
        self._step("lose")
        self._losses += 1
        self.rounds.avoid.add(vigil.winner.key)
        self._tender.object(vigil.winner.key, f"unknown: it {why}")
        handed_back = certain and not gone
        if (enough := self._losses >= self.policy.awards) or not (handed_back or self._again()):
            self._step("fault")
            self._fail(faults.lost(self._losses, vigil.winner, why, spent=not enough))
        elif vigil.heard or self._tender.silent:
            self._reopen(now, self.mode)
        else:
            self._evaluate(now)

    def _doubt(self, vigil: Vigil, why: str) -> None:
        self._settle(vigil, kept=False)
        self._give_up("the award is in doubt")
        self._step("doubt")
        self._fail(faults.in_doubt(vigil.record, why))

    # -- the end

    def _on_cancel(self, event: m.CancelAsked, now: float) -> None:
        if self.over:
            return
        self._give_up(event.reason or "cancelled")
        self._step("cancel")
        self._fail(Cancelled(event.reason or f"the call for {self.terms.capability} was cancelled"), "cancelled")

    def _on_ticked(self, event: m.Ticked, now: float) -> None:
        if self.over:
            return
        if now >= self.terms.deadline:
            self._expire()
        elif now < self._timer:
            return
        elif self.state == "open":
            self._out.append(self.rounds.waited(now)) if self.paused else self._close(now)
        elif (vigil := self._vigil) is not None and vigil.exhausted(now):
            self._lost(vigil, now, f"does not answer, not even to {vigil.probes} probes", certain=False)
        elif vigil is not None:
            self._probe(vigil, now)

    def _expire(self) -> None:
        error: MeshError = faults.expired(self.terms.capability, self.state)
        if self._held and self._vigil is not None and self._once:
            error = faults.in_doubt(self._vigil.record, "did not answer before the deadline")
        if self._held and self._vigil is not None:
            self._out.append(m.Settle(self._vigil.winner, kept=False, late=True))
        self._give_up("the deadline has passed")
        self._step("expire")
        self._fail(error)

    def _give_up(self, reason: str) -> None:
        """Tell the one that may hold the award to stop; a result of it would be evidence only."""
        if self._held and self._vigil is not None:
            self.given_up.add(self._vigil.record.award)
            self._out.append(m.CancelAward(self._vigil.record, self._vigil.winner, reason))

    # -- bookkeeping

    @property
    def _timer(self) -> float:
        timer = self._tender.due if self.state == "open" else self._vigil.due if self._vigil else None
        return math.inf if timer is None else timer

    @property
    def _held(self) -> bool:
        """Whether somebody may hold the award."""
        return self.state in HELD and self._vigil is not None and self._vigil.sent

    def _present(self, award: str, by: str | None = None) -> Vigil | None:
        """The watch over the present award if that is the one meant, and if the winner is the one who speaks."""
        vigil = self._vigil
        if self.state not in HELD or vigil is None or vigil.record.award != award:
            return None
        return vigil if by is None or vigil.winner.process == by else None

    def _settle(self, vigil: Vigil, *, kept: bool, ending: m.Succeeded | m.Faulted | None = None) -> None:
        self._out.append(m.Settle(vigil.winner, kept, ending))


_HANDLERS: dict[type, Callable[[Auction, Any, float], None]] = {
    m.Called: Auction._on_called,
    m.Proposed: Auction._on_proposed,
    m.NobodyListens: Auction._on_nobody,
    m.Sent: Auction._on_sent,
    m.Declined: Auction._on_declined,
    m.Confirmed: Auction._on_confirmed,
    m.Progressed: Auction._on_confirmed,
    m.Succeeded: Auction._on_finished,
    m.Faulted: Auction._on_finished,
    m.Vanished: Auction._on_vanished,
    m.Suspected: Auction._on_suspected,
    m.Freed: Auction._on_freed,
    m.CancelAsked: Auction._on_cancel,
    m.Ticked: Auction._on_ticked,
}
