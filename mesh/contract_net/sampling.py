"""A few of many: drawn without looking at the others, and written out only for those who want to read about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TypeVar

from mesh.contract_net.mail import Addressee
from mesh.contract_net.track_record import Bidder, bidder
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Bid, Mode, Proposal, Propose, Refusal
from mesh.protocols.awards import Candidate
from mesh.protocols.constraints import Constraints, Effect
from mesh.protocols.learned import Learned
from mesh.protocols.newcomers import admitted
from mesh.protocols.selection import Offer, SelectionPolicy, best, rank, spent
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
    """The standing bids of some listings for one capability at one moment, of `known` in all.

    `ranked` are the acceptable ones, the cheapest first, as cost and place; `winner` is the place of the one that was drawn,
    `explored` says that it is a newcomer which is tried, `founded` that it had done something when it bid. `corrected`:
    something was learned of some of them. `trial`: this one had failed, and it is found out whether it is well again.
    """

    __slots__ = (
        "at", "capability", "corrected", "explored", "founded", "known", "listings", "offers", "ranked", "trial", "winner",
    )  # fmt: skip

    def __init__(
        self,
        capability: str,
        listings: Sequence[Listing],
        offers: Sequence[Offer],
        ranked: Sequence[tuple[float, int]],
        known: int,
        at: float,
        *,
        corrected: bool = False,
    ) -> None:
        self.capability = capability
        self.listings = listings
        self.corrected = corrected
        self.explored = False
        self.founded = True
        self.trial = False
        self.offers = offers
        self.ranked = ranked
        self.known = known
        self.at = at
        self.winner = -1

    mode: Mode = "standing"
    proposal = ""

    @property
    def key(self) -> str:
        """Who that is: `<process>.<agent>.<instance>`."""
        return self.listings[self.winner].key

    @property
    def effect(self) -> Effect:
        """What that one declares."""
        return self._declared(self.listings[self.winner])

    @property
    def address(self) -> Addressee:
        """And where."""
        return self.listings[self.winner].record

    @property
    def bid(self) -> Bid:
        """What it promised."""
        return self.offers[self.winner].bid

    @property
    def bidder(self) -> Bidder:
        """Who that is, with the version."""
        listing = self.listings[self.winner]
        return Bidder(listing.key, listing.record.agent, listing.record.version)

    def narrowed(self, count: int) -> Sample:
        """The first so many of the acceptable ones: looking at more of them would be choosing among more."""
        kept = sorted(place for _, place in self.ranked)[:count]
        ranked = [(cost, kept.index(place)) for cost, place in self.ranked if place in kept]
        listings, offers = [self.listings[each] for each in kept], [self.offers[each] for each in kept]
        return Sample(self.capability, listings, offers, ranked, self.known, self.at, corrected=self.corrected)

    def losers(self) -> Iterable[list[Proposal]]:
        """Proposals that were not taken, by process, the winner's apart: of standing bids there are none."""
        return ()

    def heard(self) -> tuple[m.Called, Sequence[m.Proposed]]:
        """As an auction would have heard of them."""
        return m.Called(candidates=self.candidates(), known=self.known), ()

    def refusals(self) -> tuple[Refusal, ...]:
        """Those who were asked and made no bid."""
        return ()

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
            reputation=offer.learned.reputation if offer.learned is not None else 1.0,
            learned=offer.learned,
            rejected_because=offer.objection,
            effect=self._declared(listing),
        )

    def _declared(self, listing: Listing) -> Effect:
        declared = listing.record.offers(self.capability)
        return declared.effect if declared is not None else "costly"


class Proposals:
    """What the processes that were asked have answered: as a `Sample`, but binding."""

    mode: Mode = "directed"
    founded = True
    trial = False
    __slots__ = ("_answers", "_learned", "_made", "at", "explored", "known", "proposal", "winner")

    def __init__(
        self, answers: dict[str, Propose], learned: Callable[[Bidder], Learned | None], known: int, at: float
    ) -> None:
        self.known = known
        self.at = at
        self.winner = -1
        self.proposal = ""
        self.explored = False
        self._answers = answers
        self._made = [each for process, answer in answers.items() for each in answer.proposals if each.counts(process)]
        self._learned = [learned(bidder(each)) for each in self._made]

    def choose(self, constraints: Constraints, until: float, policy: SelectionPolicy, random: Random) -> bool:
        """Take the best. False if none will do."""
        offers = [Offer(each.bid, each.labels, 0, known) for each, known in zip(self._made, self._learned, strict=True)]
        ranked, self.explored = admitted(rank(offers, constraints, until - self.at, policy), offers, policy, random)
        if ranked:
            self.winner = best(ranked, policy, random)
            self.proposal = self._made[self.winner].id
        return bool(ranked)

    @property
    def key(self) -> str:
        """Who was chosen: `<process>.<agent>.<instance>`."""
        return self.bidder.key

    @property
    def bid(self) -> Bid:
        """What it promised."""
        return self._made[self.winner].bid

    @property
    def bidder(self) -> Bidder:
        """Who was chosen, with the version."""
        return bidder(self._made[self.winner])

    @property
    def effect(self) -> Effect:
        """What that one declares."""
        return self._made[self.winner].effect

    @property
    def address(self) -> Addressee:
        """And where."""
        return self._made[self.winner]

    def losers(self) -> Iterable[list[Proposal]]:
        """Proposals that were not taken, by process, the winner's apart: that one knows."""
        theirs, by_process = self.address.process, dict[str, list[Proposal]]()
        for each in self._made:
            if each.process != theirs:
                by_process.setdefault(each.process, []).append(each)
        return by_process.values()

    def heard(self) -> tuple[m.Called, Sequence[m.Proposed]]:
        """As an auction would have heard of them."""
        candidates = self.candidates()
        proposed = [
            m.Proposed(
                process,
                tuple(each for each in candidates if each.process == process),
                answer.refusals,
            )
            for process, answer in self._answers.items()
        ]
        return m.Called(expected=frozenset(self._answers), known=self.known), proposed

    def refusals(self) -> tuple[Refusal, ...]:
        """Those who were asked and made no bid."""
        return tuple(each for answer in self._answers.values() for each in answer.refusals)

    def candidates(self) -> tuple[Candidate, ...]:
        """All of them, as an auction judges them."""
        return tuple(Candidate.of(each, known) for each, known in zip(self._made, self._learned, strict=True))
