"""`SecondChances`: who is too slow by its own figures gets a call all the same now and then. Sans-IO.

Nobody renews the figures of somebody who gets no work: after a hang whose calls took seconds, an instance would be passed over
for everything with less time for ever. Both sides keep to the same measure, each by what it has seen itself: the initiator
before it awards, the participant before it bids.

    from one to the next ≥ max(LEAST, SHARE · latency) seconds, the first so long after the first refusal
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from random import Random

from mesh.protocols.auction_messages import Terms
from mesh.protocols.awards import Candidate
from mesh.protocols.constraints import Constraints
from mesh.protocols.selection import Choice, Chooser, SelectionPolicy

LEAST = 1.0
SHARE = 10.0
"""At most a tenth of an instance's time goes into calls that it expects to be too late with."""
MOST = 4096
"""Refused ones that are remembered, the latest."""
TOO_LATE = "deadline:"
"""How the objection begins that can be overlooked."""
WHY = "too slow by its own figures, and tried anew"


class SecondChances:
    """One side's. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._since: OrderedDict[str, float] = OrderedDict()

    def due(self, who: str, latency: float, now: float) -> bool:
        """Whether this refusal for want of time, by an expected `latency`, comes long enough after the first, or the last chance.
        To ask does not take it."""
        since = self._since.setdefault(who, now)
        while len(self._since) > MOST:
            self._since.popitem(last=False)
        return now >= since + max(LEAST, SHARE * latency)

    def take(self, who: str, now: float) -> None:
        """It is given the call."""
        self._since[who] = now
        self._since.move_to_end(who)

    def chooser(self, chooser: Chooser, terms: Terms, clock: Callable[[], float]) -> Chooser:
        """The same, but where it finds nobody, those whom only the deadline spoke against are looked at, as far as they are due.
        What may be done at most once is not risked on them."""
        if terms.effect == "at_most_once":
            return chooser

        def choose(
            candidates: tuple[Candidate, ...],
            constraints: Constraints,
            remaining: float,
            policy: SelectionPolicy,
            random: Random,
            *,
            known: int = 0,
        ) -> Choice:
            choice = chooser(candidates, constraints, remaining, policy, random, known=known)
            if choice.winner is not None:
                return choice
            now = clock()
            late = [each for each in choice.candidates if each.rejected_because.startswith(TOO_LATE)]
            due = {each.key for each in late if self.due(f"{each.key}/{terms.capability}", each.bid.latency, now)}
            chance = chooser(
                tuple(each for each in candidates if each.key in due), constraints, inf, policy, random, known=known
            )
            if chance.winner is None:
                return choice
            self.take(f"{chance.winner.key}/{terms.capability}", now)
            others = tuple(each for each in choice.candidates if each.key not in due)
            return Choice((*chance.candidates, *others), chance.winner, f"{chance.reason}; {WHY}")

        return choose
