"""Newcomers: how bidders of whom too little is known get work, and how little of it is at stake. Pure; chance is handed in.

As long as somebody who is known will do, a newcomer is passed over: its bid may be a wish. But a share of the choices is open
to newcomers, so that whoever is better is found out, and whoever is worse has cost no more than a few calls of that share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Protocol

from mesh.protocols.acts import Bid
from mesh.protocols.learned import Learned
from mesh.protocols.scoring import expected

if TYPE_CHECKING:
    from mesh.protocols.selection import SelectionPolicy

TRIALS = 5.0
"""Awards after which a bidder is a newcomer no more."""

Ranked = Sequence[tuple[float, int]]
"""What each acceptable bid costs, and its place among all; the cheapest first."""


class Bidder(Protocol):
    """An offer or a candidate."""

    @property
    def bid(self) -> Bid:
        """What it promises."""

    @property
    def learned(self) -> Learned | None:
        """What is believed of it beyond that."""


def bonus(total: float, calls: float) -> float:
    """What a newcomer's cost is lowered by: all of it where nothing is known, less with each call: `total / √(calls + 1)`."""
    return total / math.sqrt(calls + 1.0)


def admitted(ranked: Ranked, bidders: Sequence[Bidder], policy: SelectionPolicy, random: Random) -> tuple[Ranked, bool]:
    """Who is chosen among, and whether that is a newcomer to be tried. Nothing is drawn where there are no newcomers."""
    new = [(cost, place) for cost, place in ranked if _new(bidders[place])]
    if not new or len(new) == len(ranked):
        return ranked, False
    known = [(cost, place) for cost, place in ranked if not _new(bidders[place])]
    if random.random() < policy.explore:
        least, best = known[0]
        most = policy.explore_price * _price(bidders[best])
        tried = min((_hoped(cost, bidders[place]), cost, place) for cost, place in new)
        if tried[0] < least and _price(bidders[tried[2]]) <= most:
            return [(tried[0], tried[2])], True
    return known, False


def with_one_newcomer(ranked: Sequence[int], bidders: Sequence[Bidder], count: int) -> list[int]:
    """The places of those to be asked, `count` of them: of newcomers one, as the last, if there is anybody who is known."""
    new = [place for place in ranked if _new(bidders[place])]
    known = [place for place in ranked if not _new(bidders[place])]
    return [*known[: count - 1], *new[:1], *known[count - 1 :]] if new and known else list(ranked)


def _new(bidder: Bidder) -> bool:
    return bidder.learned is not None and bidder.learned.newcomer


def _price(bidder: Bidder) -> float:
    return bidder.bid.price if bidder.learned is None else expected(bidder.bid, bidder.learned).price


def _hoped(cost: float, bidder: Bidder) -> float:
    return cost - bonus(cost, bidder.learned.calls) if bidder.learned is not None else cost
