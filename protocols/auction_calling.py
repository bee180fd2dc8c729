"""`Calling`: the first half of an auction, from its call to the choice of a winner: the states `open` and `evaluating`.

What follows an award stands in `auction.py`, which comes back here when the award falls through: for the next best, or for
another round.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal

import msgspec

from mesh.protocols import auction_faults as faults
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Mode
from mesh.protocols.auction_states import TRANSITIONS, State, Step
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.errors import MeshError
from mesh.protocols.rounds import Rounds
from mesh.protocols.selection import Choice, Chooser, SelectionPolicy, choose
from mesh.protocols.tender import Tender
from mesh.protocols.transitions import follow
from mesh.protocols.vigil import Vigil


class Calling:
    """The calling half of an `Auction`, and what both halves keep: the state, the rounds, the watch over the present award."""

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

    @property
    def record(self) -> AwardRecord | None:
        """The last award, present or past."""
        return self._vigil.record if self._vigil else None

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
        terms = self.terms
        if terms.listed or winner.effect == "at_most_once":  # the winner knows better than whoever began the call
            terms = msgspec.structs.replace(terms, effect=winner.effect)
        record = self.rounds.record(terms, choice, self._number, self._new_id(), self._wall())
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

    # -- bookkeeping

    def _fail(self, error: MeshError, reject: Literal["outbid", "cancelled"] = "outbid") -> None:
        self._end(m.Outcome(fault=error.fault(), record=self.record), reject)

    def _end(self, outcome: m.Outcome, reject: Literal["outbid", "cancelled"] = "outbid") -> None:
        self._dismiss(reject)
        self.outcome = outcome

    def _step(self, step: Step) -> None:
        self.state = follow(TRANSITIONS, self.state, step)

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
