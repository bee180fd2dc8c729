"""The initiator's view of who could do it: standing bids out of the directory, corrected by what this process knows better.

Bids in heartbeats are up to a second old, and every initiator sees the same ones. So awards of ours that were not answered
yet are subtracted, and only a small sample is looked at: its cost does not grow with the number of bidders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from mesh.actors.peer import Peer
from mesh.contract_net.reputation import Reputation
from mesh.protocols.acts import Bid
from mesh.protocols.awards import Candidate
from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import CallCycle
from mesh.protocols.selection import SelectionPolicy, objection, score
from mesh.registry.listing import Listing
from mesh.registry.records import Capability

SCANNED = 256
"""Listings looked at for one that is acceptable, when a sample has none."""
WEIGHT = 0.25
"""How much the newest award counts in the share of declined ones."""
CROWDED = 0.05
"""The share of declined awards above which instances are asked first: two declines, and the next eight calls ask."""
UNHEARD = Bid(latency=0.05)
"""Assumed of an instance that has told no figures yet."""


class Market:
    """Standing bids, and our own awards among them."""

    def __init__(self, peer: Peer, reputation: Reputation) -> None:
        self._peer = peer
        self._reputation = reputation
        self._unanswered: Counter[str] = Counter()
        self._declined: dict[str, float] = {}

    # -- our own awards

    def sent(self, key: str) -> None:
        """An award went to this instance; its bid does not know of it yet."""
        self._unanswered[key] += 1

    def answered(self, key: str) -> None:
        """It answered, and with a fresh bid; or it was given up."""
        self._unanswered[key] -= 1
        if self._unanswered[key] <= 0:
            del self._unanswered[key]

    def taken(self, capability: str, *, declined: bool) -> None:
        """An award was taken, or declined for want of room."""
        share = self._declined.get(capability, 0.0) * (1.0 - WEIGHT) + WEIGHT * declined
        if share > CROWDED / 10:
            self._declined[capability] = share
        else:
            self._declined.pop(capability, None)

    def crowded(self, capability: str) -> bool:
        """Whether standing bids are so often out of date by now that asking first saves more than it costs."""
        return self._declined.get(capability, 0.0) > CROWDED

    # -- looking

    def declared(self, capability: str) -> Capability | None:
        """What somebody who offers it declares of it."""
        found = self._peer.directory.lookup(capability, state=None)
        return found[0].record.offers(capability) if found else None

    def processes(self, capability: str) -> frozenset[str]:
        """Every process with an instance that offers it and is ready."""
        return frozenset(each.process for each in self._peer.directory.lookup(capability))

    def standing(
        self,
        capability: str,
        constraints: Constraints,
        remaining: float,
        policy: SelectionPolicy,
        *,
        chain: tuple[str, ...] = (),
        avoid: frozenset[str] = frozenset(),
    ) -> tuple[tuple[Candidate, ...], int]:
        """A sample of standing bids, and how many are known. If there is room anywhere in sight, somebody in it has some.

        Raises:
            CallCycle: everybody who offers it already waits in this chain of calls.
        """
        listings = self._listings(capability, constraints, chain)
        sample = self._sample(capability, self._draw(listings, policy.sample, avoid))
        if len(listings) > len(sample) and all(objection(each, constraints, remaining, policy) for each in sample):
            more = self._sample(capability, self._draw(listings, SCANNED, avoid))
            good = [each for each in more if not objection(each, constraints, remaining, policy)]
            sample = tuple(good[: policy.sample]) or sample
        return sample, len(listings)

    def directed(
        self,
        capability: str,
        constraints: Constraints,
        policy: SelectionPolicy,
        *,
        chain: tuple[str, ...] = (),
        avoid: frozenset[str] = frozenset(),
    ) -> tuple[Sequence[Listing], int]:
        """Whom to ask: the best by their standing bids of a sample twice as large, and how many are known.

        Raises:
            CallCycle: as `standing`.
        """
        listings = self._listings(capability, constraints, chain)
        drawn = self._draw(listings, 2 * policy.directed, avoid)
        bids = {each.key: each for each in self._sample(capability, drawn)}
        room = {key: (each.bid.capacity <= 0, score(each, policy).total) for key, each in bids.items()}
        ranked = sorted(drawn, key=lambda each: room[each.key])
        return ranked[: policy.directed], len(listings)

    def _listings(self, capability: str, constraints: Constraints, chain: tuple[str, ...]) -> Sequence[Listing]:
        """Who is ready and has the labels; everybody, if nobody has: their bids then say why not."""
        labels = dict(constraints.labels)
        if constraints.boundary:
            labels["boundary"] = constraints.boundary
        directory = self._peer.directory
        listings = directory.lookup(capability, labels=labels) if labels else directory.lookup(capability)
        listings = listings or directory.lookup(capability)
        if not chain:
            return listings
        free = [each for each in listings if each.agent not in chain]
        if listings and not free:
            agent = listings[0].agent
            raise CallCycle(f"{agent} is already waiting in this chain of calls: {' → '.join((*chain, agent))}")
        return free

    def _draw(self, listings: Sequence[Listing], count: int, avoid: frozenset[str]) -> Sequence[Listing]:
        if avoid:
            listings = [each for each in listings if each.key not in avoid] or listings
        if len(listings) <= count:
            return listings
        return [listings[index] for index in self._peer.ids.random.sample(range(len(listings)), count)]

    def _sample(self, capability: str, listings: Sequence[Listing]) -> tuple[Candidate, ...]:
        now = self._peer.clock.monotonic()
        return tuple(self._candidate(capability, each, now) for each in listings)

    def _candidate(self, capability: str, listing: Listing, now: float) -> Candidate:
        record, key, rejected = listing.record, listing.key, ""
        bid = listing.figures.bids.get(capability)
        if bid is None:
            bid = UNHEARD
            if listing.seen_at is not None:
                rejected = "declined: it makes no standing bid at the moment"
        taken = self._unanswered.get(key, 0)
        if taken:
            bid = msgspec.structs.replace(bid, capacity=max(0, bid.capacity - taken), queue=bid.queue + taken)
        if not self._peer.breakers.allows(*self.breaker(listing, capability)):
            rejected = "breaker: calls to it are refused here, it kept failing"
        return Candidate(
            agent=record.agent,
            instance=record.instance,
            process=record.process,
            version=record.version,
            labels=record.labels,
            bid=bid,
            age=0.0 if listing.seen_at is None else max(0.0, now - listing.seen_at),
            reputation=self._reputation.of(key),
            rejected_because=rejected,
        )

    @staticmethod
    def breaker(listing: Listing, capability: str) -> tuple[str, str]:
        """The target and the name of the breaker that stands before it: the same one as asks use."""
        return listing.key, capability
