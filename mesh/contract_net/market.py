"""The initiator's view of who could do it: standing bids out of the directory, corrected by what this process knows better.

Bids in heartbeats are up to a second old, and every initiator sees the same ones. So awards of ours that were not answered
yet are subtracted, and only a small sample is looked at: its cost does not grow with the number of bidders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from mesh.actors.admitting.killing import spared
from mesh.actors.peer import Peer
from mesh.contract_net.doubting import undoubted
from mesh.contract_net.learning import Corrections, Learning
from mesh.contract_net.sampling import Sample, draw
from mesh.contract_net.track_record import Bidder
from mesh.protocols.acts import Bid
from mesh.protocols.awards import Candidate
from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import CallCycle
from mesh.protocols.learned import Learned
from mesh.protocols.newcomers import admitted, with_one_newcomer
from mesh.protocols.scoring import cost
from mesh.protocols.selection import Offer, SelectionPolicy, rank, share
from mesh.registry.listing import Listing

SCANNED = 256
"""Listings looked at for one that is acceptable, when a sample has none."""
WEIGHT = 0.25
"""How much the newest award counts in the share of declined ones."""
CROWDED = 0.05
"""The share of declined awards above which instances are asked first: one decline, and the next six calls ask."""
UNHEARD = Bid(latency=0.05)
"""Assumed of an instance that has told no figures yet."""
SILENT = "declined: it makes no standing bid at the moment"


class Market:
    """Standing bids, and our own awards among them."""

    def __init__(self, peer: Peer, learning: Learning) -> None:
        self._peer = peer
        self._learning = learning
        self._unanswered: Counter[str] = Counter()
        self._declined: dict[str, float] = {}

    # -- our own awards

    def sent(self, key: str) -> None:
        """An award went to this instance; its bid does not know of it yet."""
        self._unanswered[key] += 1

    def answered(self, key: str) -> None:
        """It answered, and with a fresh bid; or it was given up."""
        left = self._unanswered[key] - 1
        if left > 0:
            self._unanswered[key] = left
        else:
            del self._unanswered[key]

    def taken(self, capability: str, *, declined: bool) -> None:
        """An award was taken, or declined for want of room."""
        before = self._declined.get(capability)
        if before is None and not declined:
            return
        share = (before or 0.0) * (1.0 - WEIGHT) + WEIGHT * declined
        if share > CROWDED / 10:
            self._declined[capability] = share
        else:
            self._declined.pop(capability, None)

    def crowded(self, capability: str) -> bool:
        """Whether standing bids are so often out of date by now that asking first saves more than it costs."""
        return self._declined.get(capability, 0.0) > CROWDED

    def learn(self, key: str, capability: str, bid: Bid) -> None:
        """A fresh bid came with an answer."""
        self._peer.directory.learn(key, bid, capability)

    # -- looking

    def processes(self, capability: str) -> frozenset[str]:
        """Every process with an instance that offers it and is ready."""
        return frozenset(each.process for each in self._spared(self._peer.directory.lookup(capability), capability))

    def pick(
        self,
        capability: str,
        constraints: Constraints,
        until: float,
        policy: SelectionPolicy,
        *,
        chain: tuple[str, ...] = (),
    ) -> Sample | None:
        """A sample of standing bids with a winner among them; None if nobody in sight will do `until` the deadline.

        Raises:
            CallCycle: everybody who offers it already waits in this chain of calls.
        """
        sample = self._sample(capability, constraints, until, policy, chain, frozenset())
        best = sample.ranked
        if not best:
            return None
        if sample.corrected:
            best, sample.explored = admitted(best, sample.offers, policy, self._peer.ids.random)
        first = len(best) == 1 or self._peer.ids.random.random() < share(best[0][0], best[1][0])
        sample.winner = best[0 if first else 1][1]
        sample.founded = sample.listings[sample.winner].figures.handled > 0
        return sample

    def standing(
        self,
        capability: str,
        constraints: Constraints,
        until: float,
        policy: SelectionPolicy,
        *,
        chain: tuple[str, ...] = (),
        avoid: frozenset[str] = frozenset(),
    ) -> tuple[tuple[Candidate, ...], int]:
        """A sample of standing bids, and how many are known. If there is room anywhere in sight, somebody in it has some.

        Raises:
            CallCycle: everybody who offers it already waits in this chain of calls.
        """
        sample = self._sample(capability, constraints, until, policy, chain, avoid)
        return sample.candidates(), sample.known

    def directed(
        self,
        capability: str,
        constraints: Constraints,
        policy: SelectionPolicy,
        *,
        chain: tuple[str, ...] = (),
        avoid: frozenset[str] = frozenset(),
    ) -> tuple[dict[str, list[Listing]], int]:
        """Whom to ask, by process: the best by their standing bids of a sample twice as large; and how many are known.

        Raises:
            CallCycle: as `standing`.
        """
        listings = self._listings(capability, constraints)
        drawn = self._draw(listings, 2 * policy.directed, chain, avoid)
        if (doubts := self._peer.doubts).any:
            drawn = [each for each in drawn if not doubts.against(each, capability)] or drawn
        corrections = self._corrections(capability, self._peer.clock.monotonic())
        offers = self._offers(capability, drawn, corrections)
        ranked = sorted(
            range(len(drawn)),
            key=lambda each: (
                not offers[each].bid.sane,
                offers[each].bid.capacity <= offers[each].taken,
                cost(offers[each].bid, policy, offers[each].learned),
            ),
        )
        if corrections is not None:
            ranked = with_one_newcomer(ranked, offers, policy.directed)
        asked: dict[str, list[Listing]] = {}
        for place in ranked[: policy.directed]:
            asked.setdefault(drawn[place].process, []).append(drawn[place])
        return asked, len(listings)

    # -- the sample

    def _sample(
        self,
        capability: str,
        constraints: Constraints,
        until: float,
        policy: SelectionPolicy,
        chain: tuple[str, ...],
        avoid: frozenset[str],
    ) -> Sample:
        """Offers of a few; of more and more, as long as nobody among them will do."""
        listings, count, first = self._listings(capability, constraints), policy.sample, None
        now = self._peer.clock.monotonic()
        plain = not (constraints.labels or constraints.boundary or self._peer.policy.switches)
        corrections = self._corrections(capability, now, listings if plain else None)
        while True:
            drawn = self._draw(listings, count, chain, avoid)
            offers = self._offers(capability, drawn, corrections)
            ranked = rank(offers, constraints, until - now, policy)
            if ranked:
                ranked = undoubted(self._peer, capability, drawn, offers, ranked)
            sample = Sample(capability, drawn, offers, ranked, len(listings), now, corrected=corrections is not None)
            if ranked:
                return sample if first is None else sample.narrowed(policy.sample)
            if len(drawn) >= len(listings) or count >= SCANNED:
                return first or sample
            first, count = first or sample, min(SCANNED, 4 * count)

    def _listings(self, capability: str, constraints: Constraints) -> Sequence[Listing]:
        """Who is ready and has the labels; everybody, if nobody has: their bids then say why not."""
        directory = self._peer.directory
        if constraints.labels or constraints.boundary:
            labels = dict(constraints.labels)
            if constraints.boundary:
                labels["boundary"] = constraints.boundary
            if fitting := directory.lookup(capability, labels=labels):
                return self._spared(fitting, capability)
        return self._spared(directory.lookup(capability) or self._voted_out(capability), capability)

    def _voted_out(self, capability: str) -> Sequence[Listing]:
        """Whom nothing but breakers of others speak against: better than nobody."""
        return [each for each in self._peer.directory.lookup(capability, state="suspect") if each.by_votes]

    def everybody(self, capability: str, constraints: Constraints) -> Sequence[Listing]:
        """Whoever offers it and has the labels, in doubt or not."""
        listings = self._peer.directory.lookup(capability, state=None)
        return self._spared([each for each in listings if constraints.admits(each.record.labels)], capability)

    def only(
        self,
        listing: Listing,
        capability: str,
        constraints: Constraints,
        until: float,
        policy: SelectionPolicy,
        known: int,
    ) -> Sample | None:
        """A sample of this one alone, of `known` in all; None if its bid will not do. That it was slow lately is no reason."""
        now = self._peer.clock.monotonic()
        offers = self._offers(capability, [listing], None)
        for each in offers:
            if each.bid.latency > until - now:
                each.bid = msgspec.structs.replace(each.bid, latency=until - now)
        ranked = rank(offers, constraints, until - now, policy)
        if not ranked:
            return None
        sample = Sample(capability, [listing], offers, ranked, known, now)
        sample.winner, sample.trial = 0, True
        return sample

    def _spared(self, listings: Sequence[Listing], capability: str) -> Sequence[Listing]:
        """Without those that an operator has killed."""
        policy = self._peer.policy
        return spared(policy, listings, capability) if policy.switches else listings

    def _draw(
        self, listings: Sequence[Listing], count: int, chain: tuple[str, ...], avoid: frozenset[str]
    ) -> Sequence[Listing]:
        """Some of them, none of whom waits in this chain; nobody to be avoided, if there is anybody else."""
        drawn = draw(listings, count, self._peer.ids.random)
        if not chain and not avoid:
            return drawn
        kept = [each for each in drawn if each.agent not in chain and each.key not in avoid]
        if kept or not listings:
            return kept
        free = [each for each in listings if each.agent not in chain]
        if not free:
            agent = listings[0].agent
            raise CallCycle(f"{agent} is already waiting in this chain of calls: {' → '.join((*chain, agent))}")
        return draw([each for each in free if each.key not in avoid] or free, count, self._peer.ids.random)

    def _corrections(
        self, capability: str, now: float, everybody: Sequence[Listing] | None = None
    ) -> Corrections | None:
        """What was learned of `everybody` who offers it; whoever that is, if it is not at hand."""
        if everybody is None:
            everybody = self._peer.directory.lookup(capability)
        return self._learning.corrections(capability, everybody, now)

    def _offers(self, capability: str, listings: Sequence[Listing], corrections: Corrections | None) -> list[Offer]:
        offers, unanswered = [], self._unanswered
        for each in listings:
            bid, objection, key, seen = each.figures.bids.get(capability), "", each.key, each.seen_at
            if bid is None:
                bid, objection = UNHEARD, "" if seen is None else SILENT
            record = each.record
            learned = corrections.of(key, record.agent, record.version) if corrections is not None else None
            offers.append(Offer(bid, record.labels, unanswered.get(key, 0), learned, objection, seen))
        return offers

    def learned(self, capability: str, bidder: Bidder) -> Learned | None:
        """What is believed of a bidder beyond its bid."""
        corrections = self._corrections(capability, self._peer.clock.monotonic())
        return corrections.of(*bidder) if corrections is not None else None

    @staticmethod
    def breaker(listing: Listing, capability: str) -> tuple[str, str]:
        """The target and the name of the breaker that stands before it: the same one as asks use."""
        return listing.key, capability
