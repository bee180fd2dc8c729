"""A few of many: drawn without looking at the others, and written out only for those who want to read about them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from mesh.protocols.awards import Candidate
from mesh.protocols.selection import Offer, spent
from mesh.registry.listing import Listing

T = TypeVar("T")


def draw(things: Sequence[T], count: int, random: Random) -> Sequence[T]:
    """`count` of these, each once, in an order by chance; all of them, if they are no more. The cost does not grow with them."""
    size = len(things)
    if size <= count:
        start = int(random.random() * size)
        return things if not start else [*things[start:], *things[:start]]
    if size < 4 * count:
        return [things[index] for index in random.sample(range(size), count)]
    places: dict[int, None] = {}
    while len(places) < count:
        places[int(random.random() * size)] = None
    return [things[index] for index in places]


class Sample:
    """The standing bids of some listings at one moment, of `known` in all.

    `ranked` are the acceptable ones, the cheapest first, as cost and place; `winner` is the place of the one that was drawn.
    """

    __slots__ = ("at", "known", "listings", "offers", "ranked", "winner")

    def __init__(
        self,
        listings: Sequence[Listing],
        offers: Sequence[Offer],
        ranked: Sequence[tuple[float, int]],
        known: int,
        at: float,
    ) -> None:
        self.listings = listings
        self.offers = offers
        self.ranked = ranked
        self.known = known
        self.at = at
        self.winner = -1

    @property
    def won(self) -> Listing:
        """Whom the draw fell on."""
        return self.listings[self.winner]

    def narrowed(self, count: int) -> Sample:
        """The first so many of the acceptable ones: looking at more of them would be choosing among more."""
        kept = sorted(place for _, place in self.ranked)[:count]
        ranked = [(cost, kept.index(place)) for cost, place in self.ranked if place in kept]
        listings, offers = [self.listings[each] for each in kept], [self.offers[each] for each in kept]
        return Sample(listings, offers, ranked, self.known, self.at)

    def candidates(self) -> tuple[Candidate, ...]:
        """All of them, as an auction judges them."""
        return tuple(self._candidate(*each) for each in zip(self.listings, self.offers, strict=True))

    def _candidate(self, listing: Listing, offer: Offer) -> Candidate:
        record = listing.record
        return Candidate(
            agent=record.agent,
            instance=record.instance,
            process=record.process,
            version=record.version,
            labels=offer.labels,
            bid=spent(offer.bid, offer.taken),
            age=0.0 if offer.heard is None else max(0.0, self.at - offer.heard),
            reputation=offer.reputation,
            rejected_because=offer.objection,
        )
