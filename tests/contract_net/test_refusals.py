"""Real refusals: what an instance cannot or may not do, it says so, and the caller learns why."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command
from mesh.protocols.acts import Bid, CallForProposal, Mode
from mesh.protocols.constraints import Budget, Constraints
from mesh.protocols.errors import NoBids, Refused
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace, Worker

pytestmark = pytest.mark.virtual

EVERY_MODE: list[Mode] = ["standing", "directed", "broadcast"]


@pytest.mark.parametrize("mode", EVERY_MODE)
async def test_labels_that_nobody_has_are_refused_at_once_and_named(place: MarketPlace, mode: Mode) -> None:
    await place.worker("a", labels={"zone": "eu"})
    at = place.clock.monotonic()
    with pytest.raises(NoBids, match=r"labels.*zone='us' is demanded"):
        await place.contract(mode=mode, constraints=Constraints(labels={"zone": "us"}))
    assert place.clock.monotonic() - at < 0.1, "another round would not help"


@pytest.mark.parametrize("mode", EVERY_MODE)
async def test_only_an_instance_within_the_data_boundary_gets_the_work(place: MarketPlace, mode: Mode) -> None:
    await place.worker("a")
    await place.worker("b", labels={"boundary": "internal"})
    for _ in range(3):
        contracted = await place.contract(mode=mode, constraints=Constraints(boundary="internal"))
        assert contracted.winner.process == "b"


@pytest.mark.parametrize("mode", EVERY_MODE)
async def test_what_takes_longer_than_there_is_time_is_refused(place: MarketPlace, mode: Mode) -> None:
    await place.worker("a")
    await place.contract(1.0, timeout=10.0)
    await place.clock.sleep(2.0)
    with pytest.raises(NoBids, match="deadline"):
        await place.contract(0.0, timeout=0.2, mode=mode)


@pytest.mark.parametrize("mode", EVERY_MODE)
async def test_what_costs_more_than_the_budget_is_refused(place: MarketPlace, mode: Mode) -> None:
    await place.host(dear, process="a")
    constraints = Constraints(budget=Budget(money=0.10))
    with pytest.raises(NoBids, match=r"budget: it asks 0.5, 0.1 may be spent"):
        await place.contract("x", capability="dear", mode=mode, constraints=constraints)


@pytest.mark.parametrize("mode", EVERY_MODE)
async def test_the_cheaper_of_two_wins_when_proposals_are_compared(place: MarketPlace, mode: Mode) -> None:
    await place.host(dear, process="a")
    await place.host(cheap, process="b")
    if mode != "standing":
        assert (await place.contract("x", capability="dear", mode=mode)).winner.agent == "cheap"


async def test_over_capacity_everybody_is_served_in_the_end_and_nobody_beyond_capacity(place: MarketPlace) -> None:
    busiest: list[int] = []

    class Counting(Worker):
        name = "worker"
        capacity = 2

        def __init__(self) -> None:
            super().__init__()
            self.now = 0

        @command(capability="do")
        async def do(self, seconds: float) -> None:
            self.now += 1
            busiest.append(self.now)
            await asyncio.sleep(seconds)
            self.now -= 1

    for name in ("a", "b"):
        await place.host(Counting, process=name)
    await asyncio.gather(*(place.contract(0.1, timeout=20.0, rounds=50) for _ in range(40)))
    assert max(busiest) == 2
    declines = place.seen.count("refuse") / place.seen.count("accept-proposal")
    assert declines <= 0.2, f"{declines:.0%} of the awards were declined"


async def test_who_stays_over_capacity_is_no_bids_with_a_time_to_come_back(place: MarketPlace) -> None:
    await place.worker("a")
    busy = [place.start(30.0, timeout=60.0) for _ in range(2)]
    await until(lambda: place.seen.count("confirm") == 2)
    with pytest.raises(NoBids, match="capacity") as caught:
        await place.contract(0.0, timeout=5.0)
    assert caught.value.retry_after
    for each in busy:
        each.cancel()
    await asyncio.gather(*busy, return_exceptions=True)


async def test_bids_in_the_air_count_against_capacity(place: MarketPlace) -> None:
    """Two calls at once to one instance with room for two: a third is refused until a bid is answered."""
    await place.worker("a")
    caller = await place.caller()
    results = await asyncio.gather(
        *(caller.contract(place.call(payload=0.05, mode="broadcast", timeout=20.0)) for _ in range(6))
    )
    assert len(results) == 6
    assert place.participants["a"].book.bids.count("worker.a", place.clock.monotonic()) == 0


async def test_an_agent_that_is_going_away_is_not_given_work(place: MarketPlace) -> None:
    leaving = await place.worker("a")
    await place.worker("b")
    caller = await place.caller()
    drain = asyncio.ensure_future(place._peers["a"].unhost(leaving))
    for _ in range(5):
        assert (await caller.contract(place.call())).winner.process == "b"
    await drain


async def test_work_that_was_queued_but_never_begun_is_handed_back_when_the_agent_stops(place: MarketPlace) -> None:
    stopping = await place.worker("a")
    first = place.start(60.0, timeout=120.0)
    await until(lambda: bool(stopping.target.begun))
    queued = place.start(0.0, timeout=120.0)
    await until(lambda: stopping.waiting == 1)
    await place.worker("b")
    await place._peers["a"].unhost(stopping, drain=False)
    assert (await queued).winner.process == "b"
    assert (await first).winner.process == "b", "costly work that was interrupted is awarded again"


# -- the agent's own bid


class Picky(Agent):
    """Bids for even numbers, refuses sevens with a reason, stumbles over nines, and asks double for large ones."""

    @command(capability="pick", price=1.0)
    async def pick(self, number: int) -> int:
        return number

    @pick.bid
    def bid(self, call: CallForProposal, bid: Bid) -> Bid | None:
        number = int(bytes(call.input)) if call.conversation else 0
        if number == 7:
            raise Refused("sevens are unlucky")
        if number == 9:
            raise RuntimeError("stumbled")
        return None if number % 2 else bid


@pytest.mark.parametrize("mode", EVERY_MODE)
@pytest.mark.parametrize(
    ("number", "why"), [(1, "does not want to bid"), (7, "sevens are unlucky"), (9, "failed with RuntimeError")]
)
async def test_an_agent_declines_by_its_own_bid_and_says_why(
    place: MarketPlace, mode: Mode, number: int, why: str
) -> None:
    await place.host(Picky, process="a")
    with pytest.raises(NoBids, match=why):
        await place.contract(number, capability="pick", mode=mode, rounds=2)
    assert (await place.contract(2, capability="pick", mode=mode)).winner.agent == "picky"


@agent(capability="dear", price=0.5)
async def dear(text: str) -> str:
    return text


@agent(capability="dear", price=0.01)
async def cheap(text: Any) -> str:
    return str(text)


class Steady(Agent):
    """Promises ten seconds, whatever was measured."""

    @command(capability="steady")
    async def work(self) -> None:
        return

    @work.bid
    def bid(self, call: CallForProposal, bid: Bid) -> Bid | None:
        return Bid(latency=10.0, capacity=bid.capacity, queue=bid.queue)


@pytest.mark.parametrize("mode", EVERY_MODE)
async def test_what_an_answer_promises_is_the_agents_own_bid_and_not_the_measured_one(
    place: MarketPlace, mode: Mode
) -> None:
    await place.host(Steady, process="a")
    client = await place.client()
    for _ in range(3):
        await place.contract(capability="steady", mode=mode, timeout=60.0)
        (listing,) = client.directory.lookup("steady")
        assert listing.figures.bids["steady"].latency == 10.0
