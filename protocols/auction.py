"""The initiator of a contract net, as a machine without I/O: events in, commands out, time and chance handed in.

An auction opens a call for proposals, evaluates what came, awards the work, and sees it to an end:

- The call closes when everybody expected has answered or its window is over. Standing bids close it at once.
- Nobody listens (503): no bids, at once. Nobody acceptable: another round, while that may help and time is left.
- A decline falls to the next best; after a declined standing award, instances are asked before they are awarded.
- A winner that does not answer is probed with a copy of the award. No answer, or a 503: it is lost, and told to stop.
- Lost work is awarded again if its effect allows; work that may be done at most once is in doubt, unless the winner
  certainly never got it: a 503 to the first copy, or its own refusal to begin.
- Whatever arrives for an award that is no longer the present one is evidence, and changes nothing.

Every auction ends: its deadline is the last of its timers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Literal

import msgspec

from mesh.protocols import auction_faults as faults
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Mode, Refusal
from mesh.protocols.auction_states import HELD, TERMINAL, TRANSITIONS, State, Step
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.errors import Cancelled, Fenced, MeshError, from_fault
from mesh.protocols.rounds import Rounds
from mesh.protocols.selection import Choice, Chooser, SelectionPolicy, choose
from mesh.protocols.tender import Tender
from mesh.protocols.transitions import follow
from mesh.protocols.vigil import Vigil


class Auction:
    """One conversation from its call to its end. `wall` is only used to date the records; `again` is asked before work is
    awarded once more that may have begun, or whose winner did not answer: what fails must not be buried in further awards.
    Whoever declines has answered, and begun nothing: that the next best gets it is bidding, and nobody is asked."""

    def __init__(
        self,
        terms: m.Terms,
        policy: SelectionPolicy,
        random: Random,
        *,
        new_id: Callable[[], str],
        wall: Callable[[], float],
        chooser: Chooser = choose,
        again: Callable[[], bool] = lambda: True,
    ) -> None:
        self.terms = terms
        self.policy = policy
        self.state: State = "open"
        self.rounds = Rounds(terms.mode, terms.deadline, policy, random)
        self.given_up: set[str] = set()
        self.outcome: m.Outcome | None = None
        self._random, self._new_id, self._wall, self._chooser = random, new_id, wall, chooser
        self._again = again
        self._vigil: Vigil | None = None
        self._declines = self._losses = self._number = 0
        self._out: list[m.Command] = []

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
    def record(self) -> AwardRecord | None:
        """The last award, present or past."""
        return self._vigil.record if self._vigil else None

    @property
    def winner(self) -> Candidate | None:
        """Whom it went to."""
        return self._vigil.winner if self._vigil else None

    @property
    def paused(self) -> bool:
        """Whether it waits for its next round: `Freed` would open that now."""
        return self.state == "open" and self.rounds.paused

    @property
    def heard_out(self) -> bool:
        """Whether nobody who was asked can still make a proposal, a late one."""
        return self.mode == "standing" or (
            self.mode == "directed" and self.rounds.number == 1 and self._tender.complete
        )

    @property
    def mode(self) -> Mode:
        """How candidates are found at present."""
        return self.rounds.mode

    # -- the call

    @property
    def _tender(self) -> Tender:
        return self.rounds.tender

    def _on_called(self, event: m.Called, now: float) -> None:
        if self.state != "open" or self._tender.phase != "asking":
            return
        if not event.candidates and not event.expected and self.mode != "broadcast":
            self._out.append(self.rounds.survey(now, "broadcast"))
        elif self._tender.called(event, now + self.rounds.window(now), self.terms.deadline):
            self._close(now)

    def _on_proposed(self, event: m.Proposed, now: float) -> None:
        if self.state == "open" and self._tender.phase != "paused":
            if self._tender.proposed(event, now):
                self._close(now)
            return
        late = (each for each in event.candidates if not self._tender.lists(each))
        self._out.extend(m.Reject(each, "late") for each in late if not self._holds(each))

    def _holds(self, candidate: Candidate) -> bool:
        return self._vigil is not None and self._vigil.winner.proposal == candidate.proposal

    def _on_nobody(self, event: m.NobodyListens, now: float) -> None:
        if self.state != "open":
            return
        if event.key:
            if self._tender.answered({event.key}):
                self._close(now)
        elif self._tender.silent:
            self._step("nobody")
            self._fail(faults.nobody(self.terms.capability, self.rounds.number, self._losses))

    def _on_freed(self, event: m.Freed, now: float) -> None:
        if self.paused:
            self._out.append(self.rounds.freed(now))

    # -- the choice

    def _close(self, now: float) -> None:
        self._step("close")
        self._evaluate(now)

    def _evaluate(self, now: float) -> None:
        """Choose among the proposals that still hold; if there are none, think about another round."""
        if self.mode == "standing" and self._declines >= self.policy.declines:
            self._reopen(now, "directed")
            return
        choice = self._chooser(
            self._tender.candidates(now),
            self.terms.constraints,
            self.terms.deadline - now,
            self.policy,
            self._random,
            known=self._tender.known,
        )
        if choice.winner is None:
            self._none_acceptable(choice, now)
        else:
            self._award(choice, choice.winner)

    def _award(self, choice: Choice, winner: Candidate) -> None:
        self._step("award")
        self._number += 1
        if winner.effect == "at_most_once":  # whatever was said when the call began: nobody may have been listed then
            self.terms = msgspec.structs.replace(self.terms, effect="at_most_once")
        record = self.rounds.record(self.terms, choice, self._number, self._new_id(), self._wall())
        self._vigil = Vigil(record, winner, self.policy)
        self._out.append(m.Award(record, winner))

    def _none_acceptable(self, choice: Choice, now: float) -> None:
        pause = self.rounds.pause(now, choice.candidates)
        if self.rounds.useless(now, pause, choice.candidates):
            self._step("give-up")
            reasons = faults.reasons(choice.candidates, self._tender.refusals)
            self._fail(faults.no_bids(self.terms.capability, self.rounds.number, reasons, self._losses, pause))
        else:
            self._dismiss("unacceptable")
            self._step("reopen")
            self.rounds.wait(now + pause)

    def _reopen(self, now: float, mode: Mode) -> None:
        """Ask again at once, without counting a round."""
        self._dismiss("unacceptable")
        self._step("reopen")
        self._declines = 0
        self._out.append(self.rounds.survey(now, mode))

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
        elif reason == "unknown" and self.terms.effect == "at_most_once":
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
        if self.terms.effect == "at_most_once" and not certain:
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
        if self._held and self._vigil is not None and self.terms.effect == "at_most_once":
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

    def _fail(self, error: MeshError, reject: Literal["outbid", "cancelled"] = "outbid") -> None:
        self._end(m.Outcome(fault=error.fault(), record=self.record), reject)

    def _end(self, outcome: m.Outcome, reject: Literal["outbid", "cancelled"] = "outbid") -> None:
        self._dismiss(reject)
        self.outcome = outcome

    # -- bookkeeping

    def _step(self, step: Step) -> None:
        self.state = follow(TRANSITIONS, self.state, step)

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

    def _dismiss(self, reason: Literal["outbid", "unacceptable", "cancelled"], *, begun: bool = False) -> None:
        """Tell the others, once: their capacity is free again. Whoever has `begun` knows it of its own process."""
        holder = self._vigil.winner if self._vigil is not None and self._vigil.sent else None
        losers: dict[str, list[Candidate]] = {}
        for each in self._tender.dismiss(holder.key if holder else ""):
            losers.setdefault(each.process, []).append(each)
        if begun and holder is not None:
            losers.pop(holder.process, None)
        self._out.extend(m.Reject(first, reason, tuple(others)) for first, *others in losers.values())

    def _flush(self) -> list[m.Command]:
        out, self._out = self._out, []
        return out


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
