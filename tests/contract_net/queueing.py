"""A queueing simulation over the initiator's own market and auction: only the network and the clock are pretended.

Each bidder runs one call at a time, for an exponentially distributed time; calls arrive by a Poisson process, each at an
initiator by chance. Initiators know bids from heartbeats, once a second, and from the answers they get.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

from mesh.contract_net.bidding import Load, bid
from mesh.contract_net.learning import Learning
from mesh.contract_net.market import Market
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Bid, Mode, Proposal, Refusal
from mesh.protocols.auction import Auction
from mesh.protocols.awards import Candidate
from mesh.protocols.constraints import Constraints
from mesh.protocols.rounds import written
from mesh.protocols.selection import SelectionPolicy, explain
from mesh.registry.listing import Listing
from mesh.registry.records import Figures, Instance

POLICY, ANYTHING, MEAN, BEAT = SelectionPolicy(), Constraints(), 1.0, 1.0
FOR_EVER = 1e9
"""No deadline matters here."""

Place = Callable[["Initiator", float], None]


class Simulation:
    """`run` says how long a call takes from its arrival to its end, on the average."""

    def __init__(self, *, bidders: int, initiators: int, load: float, seconds: float, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.bidders = [Bidder(self, f"b{number}") for number in range(bidders)]
        self.initiators = [Initiator(self) for _ in range(initiators)]
        self.responses: list[float] = []
        self.awards = self.declines = 0
        self._pace = load * bidders / MEAN
        self._seconds = seconds
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, time: float, what: Callable[[], None]) -> None:
        """Let it happen then."""
        heapq.heappush(self._events, (time, next(self._order), what))

    def run(self, place: Place) -> float:
        """Seconds of response on the average; the first quarter, while queues fill, is left out."""

        def arrive() -> None:
            self.at(self.now + self.random.expovariate(self._pace), arrive)
            place(self.random.choice(self.initiators), self.now)

        for each in self.bidders:
            self.at(self.random.random() * BEAT, each.beat)
        self.at(0.0, arrive)
        while self._events and self.now < self._seconds:
            self.now, _, what = heapq.heappop(self._events)
            what()
        return sum(self.responses) / len(self.responses)

    def ended(self, since: float) -> None:
        """A call that came at `since` is done."""
        if self.now > self._seconds / 4:
            self.responses.append(self.now - since)


def untroubled(
    lookup: Callable[[], Sequence[Listing]], now: Callable[[], float], random: Random, **directory: Any
) -> Any:
    """The peer of a market where nothing is broken, in doubt or killed."""
    return SimpleNamespace(
        directory=SimpleNamespace(lookup=lambda capability, **_: lookup(), **directory),
        clock=SimpleNamespace(monotonic=now),
        ids=SimpleNamespace(random=random),
        breakers=SimpleNamespace(troubled={}),
        doubts=SimpleNamespace(any=False),
        policy=SimpleNamespace(switches={}),
    )


class Bidder:
    """One instance of capacity one, with its queue of (arrival, initiator)."""

    def __init__(self, world: Simulation, name: str) -> None:
        self.world = world
        self.record = Instance(
            agent="worker", version="1", instance=name, process=name, host="h", pid=1, started_at=0.0, state="ready"
        )
        self.queue: list[tuple[float, Initiator]] = []

    @property
    def bid(self) -> Bid:
        """As the participant computes it."""
        waiting = max(0, len(self.queue) - 1)
        return bid(Load(capacity=1, running=len(self.queue) - waiting, waiting=waiting, latency=MEAN))

    def beat(self) -> None:
        """Everybody hears how it stands."""
        fresh, now = self.bid, self.world.now
        for each in self.world.initiators:
            each.hear(self, fresh, now)
        self.world.at(now + BEAT, self.beat)

    def take(self, since: float, initiator: Initiator) -> None:
        """One more in the queue."""
        self.queue.append((since, initiator))
        if len(self.queue) == 1:
            self._begin()

    def _begin(self) -> None:
        self.world.at(self.world.now + self.world.random.expovariate(1 / MEAN), self._done)

    def _done(self) -> None:
        since, initiator = self.queue.pop(0)
        self.world.ended(since)
        initiator.hear(self, self.bid, self.world.now)
        if self.queue:
            self._begin()


class Initiator:
    """A market of its own over a directory of its own; places calls as `mesh.contract_net.Initiator` does."""

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self.listings = {each.record.key: Listing(each.record, Figures()) for each in world.bidders}
        self._by_key = {each.record.key: each for each in world.bidders}
        self._all = tuple(self.listings.values())
        peer = untroubled(lambda: self._all, lambda: world.now, world.random, learn=self._learn)
        self.market = Market(peer, Learning())
        for each in world.bidders:
            self.hear(each, each.bid, 0.0)

    def hear(self, bidder: Bidder, fresh: Bid, now: float) -> None:
        """A heartbeat, or an answer with the present bid."""
        listing = self.listings[bidder.record.key]
        listing.figures.bids["do"] = fresh
        listing.seen_at = now

    def _learn(self, key: str, fresh: Bid, capability: str) -> None:
        self.hear(self._by_key[key], fresh, self.world.now)

    # -- as the contract net places calls

    def call(self, since: float) -> None:
        """Quietly, or by an auction: the declined go on as it decides."""
        mode: Mode = "directed" if self.market.crowded("do") else "standing"
        terms = m.Terms(conversation="talk", capability="do", deadline=FOR_EVER, mode=mode)
        auction = Auction(terms, POLICY, self.world.random, new_id=lambda: "award", wall=lambda: 0.0)
        sample = self.market.pick("do", ANYTHING, FOR_EVER, POLICY) if mode == "standing" else None
        if sample is None:
            self._carry_out(auction, auction.open(self.world.now), since)
        elif not self._award(sample.key, since):
            now, key = self.world.now, sample.key
            choice = explain(
                sample.candidates(), key, ANYTHING, FOR_EVER - now, POLICY, self.world.random, known=sample.known
            )
            record = written(terms, choice, "award", 0.0, known=sample.known)
            auction.adopt(m.Called(candidates=sample.candidates(), known=sample.known), record, now, now)
            self._declined(auction, record.won, since)

    def _carry_out(self, auction: Auction, commands: list[m.Command], since: float) -> None:
        for command in commands:
            if isinstance(command, m.Survey):
                self._survey(auction, command, since)
            elif isinstance(command, m.Award) and not self._award(command.winner.key, since):
                self._handle(auction, m.Sent(command.record.award), since)
                self._declined(auction, command.winner, since)
        if auction.paused and auction.due is not None:
            self.world.at(auction.due, lambda: self._handle(auction, m.Ticked(), since))

    def _handle(self, auction: Auction, event: m.Event, since: float) -> None:
        self._carry_out(auction, auction.handle(event, self.world.now), since)

    def _survey(self, auction: Auction, survey: m.Survey, since: float) -> None:
        if survey.mode == "standing":
            candidates, known = self.market.standing("do", ANYTHING, FOR_EVER, POLICY)
            self._handle(auction, m.Called(candidates=candidates, known=known), since)
            return
        asked, known = self.market.directed("do", ANYTHING, POLICY)
        self._handle(auction, m.Called(expected=frozenset(asked), known=known), since)
        for [each] in asked.values():
            bidder = self._by_key[each.key]
            self.hear(bidder, bidder.bid, self.world.now)
            self._handle(auction, _answer(bidder), since)

    def _award(self, key: str, since: float) -> bool:
        bidder = self._by_key[key]
        self.world.awards += 1
        fits = bidder.bid.capacity > 0
        if fits:
            bidder.take(since, self)
        else:
            self.world.declines += 1
        self.market.taken("do", declined=not fits)
        self.hear(bidder, bidder.bid, self.world.now)
        return fits

    def _declined(self, auction: Auction, winner: Candidate, since: float) -> None:
        self._handle(auction, m.Declined("award", winner.process, _refusal(self._by_key[winner.key])), since)


def _refusal(bidder: Bidder) -> Refusal:
    return Refusal(agent="worker", instance=bidder.record.instance, reason="capacity", retry_after=MEAN, bid=bidder.bid)


def _answer(bidder: Bidder) -> m.Proposed:
    name = bidder.record.instance
    if bidder.bid.capacity <= 0:
        return m.Proposed(name, refusals=(_refusal(bidder),))
    proposal = Proposal(
        id="bid", agent="worker", instance=name, process=name, version="1", bid=bidder.bid, valid_for=1.0
    )
    return m.Proposed(name, (Candidate.of(proposal),))


# -- ways to place a call


def as_we_do(initiator: Initiator, since: float) -> None:
    """The contract net."""
    initiator.call(since)


def by_oracle(initiator: Initiator, since: float) -> None:
    """Who sees every queue as it is joins the shortest."""
    bidders, random = initiator.world.bidders, initiator.world.random
    shortest = min(len(each.queue) for each in bidders)
    random.choice([each for each in bidders if len(each.queue) == shortest]).take(since, initiator)


def best_of_all(initiator: Initiator, since: float) -> None:
    """The best of all bids as they were last heard: everybody runs to the same few."""
    random, known = initiator.world.random, list(initiator.listings.values())
    best = min(known, key=lambda each: (each.figures.bids["do"].latency, random.random()))
    initiator._by_key[best.key].take(since, initiator)


def by_chance(initiator: Initiator, since: float) -> None:
    """Anybody."""
    initiator.world.random.choice(initiator.world.bidders).take(since, initiator)
