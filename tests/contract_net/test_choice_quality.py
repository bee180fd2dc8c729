"""How good the choice is when everybody's knowledge is old: a queueing simulation over the real market and auction.

The measure is the mean response time, as a multiple of that of an oracle who always joins the shortest queue.
"""

from __future__ import annotations

import asyncio

import pytest

from mesh.actors.declaring.handler import command
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace, Worker
from tests.contract_net.queueing import Simulation, as_we_do, best_of_all, by_oracle

TOWN = {"bidders": 100, "initiators": 20, "load": 0.8, "seconds": 30.0, "seed": 1}
"""A small one; the full size is in `tests/benchmarks/bench_choice.py`."""


def test_old_bids_cost_little_against_an_oracle_that_sees_every_queue() -> None:
    oracle = Simulation(**TOWN).run(by_oracle)
    ours = (simulation := Simulation(**TOWN)).run(as_we_do)
    assert ours <= 1.6 * oracle, f"{ours / oracle:.2f} times the oracle's response time"
    assert simulation.declines <= 0.1 * simulation.awards


def test_everybody_at_the_best_bid_of_all_is_what_the_sample_is_there_to_prevent() -> None:
    assert Simulation(**TOWN).run(as_we_do) < Simulation(**TOWN).run(best_of_all) / 1.3


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
