"""How good the choice is when everybody's knowledge is old: a queueing simulation over the real policy and bids.

Each bidder runs one call at a time. Initiators know bids from heartbeats up to a second old, and from the answers they get.
The measure is the mean response time, as a multiple of that of an oracle who always joins the shortest queue.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from random import Random

import pytest

from mesh.actors.handler import command
from mesh.contract_net.bidding import Load, bid
from mesh.protocols.acts import Bid
from mesh.protocols.awards import Candidate
from mesh.protocols.constraints import Constraints
from mesh.protocols.selection import SelectionPolicy, choose
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace, Worker

BIDDERS, INITIATORS, LOAD, MEAN, SECONDS = 200, 20, 0.8, 1.0, 40.0
POLICY = SelectionPolicy()
Take = Callable[[int], None]


class Simulation:
    """Bidders with their queues; `place` decides, for one call of one initiator, who takes it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.queues: list[list[float]] = [[] for _ in range(BIDDERS)]
        self.known = [[bid(Load(capacity=1, latency=MEAN))] * BIDDERS for _ in range(INITIATORS)]
        self.responses: list[float] = []
        self.awards = self.declines = 0
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, time: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), what))

    def run(self, place: Callable[[Simulation, int], None]) -> float:
        def arrive() -> None:
            self.at(self.now + self.random.expovariate(LOAD * BIDDERS / MEAN), arrive)
            place(self, self.random.randrange(INITIATORS))

        for bidder in range(BIDDERS):
            self.at(self.random.random(), lambda bidder=bidder: self.beat(bidder))
        self.at(0.0, arrive)
        while self._events and self.now < SECONDS:
            self.now, _, what = heapq.heappop(self._events)
            what()
        return sum(self.responses) / len(self.responses)

    def bid(self, bidder: int) -> Bid:
        queue = len(self.queues[bidder])
        return bid(Load(capacity=1, running=min(1, queue), waiting=max(0, queue - 1), latency=MEAN))

    def beat(self, bidder: int) -> None:
        fresh = self.bid(bidder)
        for known in self.known:
            known[bidder] = fresh
        self.at(self.now + 1.0, lambda: self.beat(bidder))

    def take(self, bidder: int, initiator: int) -> None:
        self.queues[bidder].append(self.now)
        if len(self.queues[bidder]) == 1:
            self.begin(bidder, initiator)
        self.known[initiator][bidder] = self.bid(bidder)

    def begin(self, bidder: int, initiator: int) -> None:
        self.at(self.now + self.random.expovariate(1 / MEAN), lambda: self.done(bidder, initiator))

    def done(self, bidder: int, initiator: int) -> None:
        came = self.queues[bidder].pop(0)
        if self.now > SECONDS / 4:
            self.responses.append(self.now - came)
        self.known[initiator][bidder] = self.bid(bidder)
        if self.queues[bidder]:
            self.begin(bidder, initiator)


def by_oracle(simulation: Simulation, initiator: int) -> None:
    shortest = min(len(each) for each in simulation.queues)
    found = [index for index, each in enumerate(simulation.queues) if len(each) == shortest]
    simulation.take(simulation.random.choice(found), initiator)


def by_standing_bids(simulation: Simulation, initiator: int) -> None:
    """As the initiator does: a sample, one of the two best, the next best after a decline, a new sample after two."""
    for _ in range(50):
        drawn = simulation.random.sample(range(BIDDERS), POLICY.sample)
        candidates = {
            str(each): Candidate(agent="w", instance=str(each), process="p", bid=simulation.known[initiator][each])
            for each in drawn
        }
        for _ in range(POLICY.declines):
            choice = choose(candidates.values(), Constraints(), 1e9, POLICY, simulation.random)
            if choice.winner is None:
                break
            bidder = int(choice.winner.instance)
            simulation.awards += 1
            if simulation.bid(bidder).capacity > 0:
                simulation.take(bidder, initiator)
                return
            simulation.declines += 1
            simulation.known[initiator][bidder] = simulation.bid(bidder)
            del candidates[str(bidder)]
    raise AssertionError("nobody has room, at a load of 0.8")


@pytest.mark.slow
def test_old_bids_cost_little_against_an_oracle_that_sees_every_queue() -> None:
    oracle = Simulation(1).run(by_oracle)
    standing = Simulation(1).run(by_standing_bids)
    assert standing <= 1.6 * oracle, f"{standing / oracle:.2f} times the oracle's response time"


class Single(Worker):
    name = "worker"

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0

    @command(capability="do", timeout=60.0)
    async def do(self, seconds: float) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(seconds)
        self.now -= 1


@pytest.mark.slow
@pytest.mark.virtual
async def test_32_processes_against_4_agents_of_capacity_one_waste_neither_awards_nor_agents(
    place: MarketPlace,
) -> None:
    calls, seconds = 10, 0.2
    actors = [await place.host(Single, process=f"w{number}") for number in range(4)]
    callers = [await place.peer(f"c{number}") for number in range(32)]
    await until(lambda: all(len(each.directory.lookup("do")) == 4 for each in callers))
    began = place.clock.monotonic()

    async def calling(process: str) -> None:
        for _ in range(calls):
            await place.initiators[process].contract(place.call(payload=seconds, timeout=300.0, rounds=1000))

    await asyncio.gather(*(calling(each.process) for each in callers))
    awards, done = place.seen.count("accept-proposal"), place.seen.count("inform-result")
    assert done == 32 * calls
    assert max(each.target.most for each in actors) == 1
    assert awards <= done / 0.8, f"{(awards - done) / awards:.0%} of the awards were declined"
    used = done * seconds / 4 / (place.clock.monotonic() - began)
    assert used >= 0.8, f"the agents were busy {used:.0%} of the time"
