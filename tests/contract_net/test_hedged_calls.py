"""Calls for pure work that takes long: a second award, elsewhere; both in the ledger, one outcome."""

from __future__ import annotations

import asyncio

import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.actor import Actor
from mesh.actors.running.context import Context
from mesh.protocols.errors import AgentLost, MeshError, NoBids
from mesh.resilience.hedging import Hedge
from tests.contract_net.market_place import MarketPlace, until

pytestmark = pytest.mark.virtual
SOON = Hedge(least=5, share=0.2)


class Looker(Agent, name="worker", capacity=8):
    """Takes as long as it is told, or `slow` longer."""

    def __init__(self) -> None:
        self.slow = 0.0
        self.begun = self.cancelled = 0

    @command(capability="do", effect="pure", hedge=True, timeout=60.0)
    async def do(self, ctx: Context, seconds: float) -> str:
        self.begun += 1
        try:
            await asyncio.sleep(seconds + self.slow)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return ctx.process


async def two(place: MarketPlace) -> list[Actor]:
    """Two instances, and a caller who knows how fast they are."""
    there = [await place.host(Looker, process=each) for each in ("a", "b")]
    for _ in range(40):
        await place.contract(0.1)
    place.ledger.records.clear()
    return there


async def test_slow_work_is_awarded_elsewhere_and_the_first_good_result_counts(place: MarketPlace) -> None:
    one, other = await two(place)
    one.target.slow = other.target.slow = 30.0
    work = place.start(0.1, timeout=50.0)
    await until(lambda: one.running + other.running == 1)
    busy, idle = (one, other) if one.running else (other, one)
    idle.target.slow = 0.0
    contracted = await work
    assert contracted.winner.process == idle.peer.process
    assert [each.won.process for each in place.ledger.records] == [busy.peer.process, idle.peer.process]
    assert len({each.conversation for each in place.ledger.records}) == 2
    await until(lambda: busy.target.cancelled == 1)
    assert idle.target.cancelled == 0


async def test_the_first_may_still_be_the_faster_one(place: MarketPlace) -> None:
    one, other = await two(place)
    one.target.slow = other.target.slow = 2.0
    contracted = await place.contract(0.1, timeout=50.0)
    first, _ = place.ledger.records
    assert contracted.winner.process == first.won.process
    await until(lambda: one.target.cancelled + other.target.cancelled == 1)


async def test_quick_work_is_awarded_once(place: MarketPlace) -> None:
    await two(place)
    for _ in range(20):
        await place.contract(0.1)
    assert len(place.ledger.records) == 20


async def test_nobody_is_awarded_what_it_has_already(place: MarketPlace) -> None:
    only = await place.host(Looker, process="a")
    for _ in range(40):
        await place.contract(0.1)
    begun = only.target.begun
    await place.contract(5.0, timeout=50.0)
    assert only.target.begun == begun + 1


async def test_a_caller_who_goes_away_stops_both(place: MarketPlace) -> None:
    one, other = await two(place)
    work = place.start(30.0, timeout=50.0)
    await until(lambda: one.running + other.running == 2)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await until(lambda: one.target.cancelled + other.target.cancelled == 2)


async def test_what_costs_twice_if_done_twice_is_refused(place: MarketPlace) -> None:
    await place.worker("a", effect="costly")
    client = await place.client()
    with pytest.raises(TypeError, match="do done twice, and it is costly"):
        await client.call("do", 0.0, hedge=SOON)
    await place.worker("b", effect="pure")
    assert await client.call("do", 0.0, effect="pure", hedge=SOON) in ("a", "b")


async def test_a_hedge_while_nobody_is_there_is_no_mistake_of_the_caller(place: MarketPlace) -> None:
    client = await place.client()
    with pytest.raises(NoBids):
        await client.call("do", 0.0, hedge=SOON, timeout=2.0)


async def test_awards_that_nobody_answers_are_made_again_within_the_budget_of_retries(place: MarketPlace) -> None:
    workers = [await place.worker(name, effect="pure", capacity=1000) for name in "abc"]
    client = await place.client()
    await asyncio.gather(*(client.call("do", 0.0) for _ in range(9)))
    before = sum(len(each.target.begun) for each in workers)
    place.server.faults.filter = lambda message: (
        b'"process":"client"' in message.data or b'"kind":"act"' not in message.data
    )
    calls = 40
    ended = await asyncio.gather(*(client.call("do", 0.0, timeout=20.0) for _ in range(calls)), return_exceptions=True)
    assert all(isinstance(each, MeshError) for each in ended)
    assert sum(isinstance(each, AgentLost) for each in ended) > calls / 2
    reserve = 3
    assert sum(len(each.target.begun) for each in workers) - before <= (calls + 9) * 1.1 + reserve
    assert client.budgets.of("do").left < 1.0, "asks of the same name have none left, either"
