"""`RetryRules`: of what a process calls, at most a tenth is done again for each target, beyond the allowance at first.

A call is an ask or an auction. Done again is a later attempt at an ask (not a hedge, which has a budget of its own), an ask put in
other words, and an award that goes to another without word from the one before that it was not begun.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mesh.actors.asking.question import Question
from mesh.contract_net.initiator import Initiator
from mesh.protocols.auction import Auction
from tests.simulation.place import HERE, Place
from tests.simulation.seams import Seams

if TYPE_CHECKING:
    from tests.simulation.invariants import Invariants

SHARE = 0.1
ALLOWANCE = 3
"""Retries for which no call need have been made, for each process and target."""


class RetryRules:
    """See the module."""

    def __init__(self, invariants: Invariants, seams: Seams) -> None:
        self._invariants = invariants
        self._calls: Counter[tuple[Place, str]] = Counter()
        self._again: Counter[tuple[Place, str]] = Counter()
        self._doubtful: Auction | None = None
        seams.before(Question, "__call__", self._attempted)
        seams.after(Initiator, "give", self._called)
        seams.after(Auction, "_lost", self._lost)
        seams.before(Auction, "_on_declined", self._declines)
        seams.after(Auction, "_on_declined", self._declined)

    def _attempted(self, question: Question, number: int) -> None:
        if question._twin:
            return
        target = question._wish.name
        if number == 1 and not question._wish.extra:
            self._calls[HERE.get(), target] += 1
        else:
            self._repeated(target)

    def _called(self, initiator: Initiator, result: object, call: Any, *about: object, **heard: object) -> None:
        self._calls[HERE.get(), call.capability] += not heard.get(
            "avoid"
        )  # the second award of a hedge is no other call

    def _lost(
        self, auction: Auction, result: object, *about: object, certain: bool = False, gone: bool = False
    ) -> None:
        if not auction.over and not (certain and not gone):
            self._repeated(auction.terms.capability)

    def _declines(self, auction: Auction, event: Any, *about: object) -> None:
        """Whoever does not know an award any more may have begun it; what comes of an award given up before is no matter."""
        unknown = event.refusal.reason == "unknown" and auction._present(event.award, event.by) is not None
        self._doubtful = auction if unknown else None

    def _declined(self, auction: Auction, result: object, *about: object) -> None:
        if self._doubtful is auction and not auction.over:
            self._repeated(auction.terms.capability)
        self._doubtful = None

    def _repeated(self, target: str) -> None:
        key = HERE.get(), target
        self._again[key] += 1
        if self._again[key] > ALLOWANCE + SHARE * self._calls[key] + 1e-6:
            self._invariants.violated(f"{key[0]}: {self._calls[key]} calls of {target}, and {self._again[key]} retries")
