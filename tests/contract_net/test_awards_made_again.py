"""What is a retry of the contract net, and that its retries stay within a tenth of the calls to a target that is down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Mode, Refusal, RefusalReason
from mesh.protocols.constraints import Effect
from mesh.protocols.errors import AgentLost, Draining, MeshError
from mesh.resilience.budget import RetryBudget
from mesh.testing.virtual_time import until
from tests.contract_net.hostile_channel import World
from tests.contract_net.market_place import MarketPlace

RESERVE = 3
PEERS = 5
WAYS = ("silent", "gone", "dies", "drains", "full")
Way = str


def ill(world: World, name: str, way: Way) -> None:
    """What has become of one that is awarded the work, by the time that it is to do it."""
    peer = world.peers[name]
    if way == "gone":
        world.kill(name)
    elif way == "full":
        peer.capacity = 0
    elif way == "silent":
        peer.hear_award = lambda received: None  # type: ignore[method-assign]
    elif way == "dies":
        begin = peer.hear_award

        def begin_and_die(received: object) -> None:
            begin(received)  # type: ignore[arg-type]
            world.kill(name)

        peer.hear_award = begin_and_die  # type: ignore[method-assign]
    else:
        fault = Draining("it stops over the work").fault(f"worker.{name}")
        peer.hear_award = lambda received: peer.tell(m.Faulted(received.award, name, fault))  # type: ignore[method-assign]


def called(way: list[Way], effect: Effect, mode: Mode, seed: int, again: Callable[[], bool]) -> World:
    """One call of those who all fall ill as soon as they have bid."""
    world = World(effect, mode, PEERS, seed, again)
    for name, each in zip(sorted(world.peers), way, strict=True):
        ill(world, name, each)
    world.open()
    world.settle()
    return world


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(WAYS), min_size=PEERS, max_size=PEERS), min_size=1, max_size=25),
    st.sampled_from(["pure", "idempotent", "costly"]),
    st.sampled_from(["standing", "directed"]),
    st.integers(0, 9),
)
def test_a_target_that_is_down_gets_a_tenth_more_awards_at_most(
    calls: list[list[Way]], effect: Effect, mode: Mode, seed: int
) -> None:
    budget, awards, declined = RetryBudget(reserve=RESERVE), 0, 0
    for way in calls:
        budget.called()
        world = called(way, effect, mode, seed, budget.spend)
        awards += len(world.awards)
        declined += world.declined
        assert world.outcomes[0].fault is not None
    assert awards - declined <= 1.1 * len(calls) + RESERVE


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["standing", "directed"]), st.integers(0, 99))
def test_whoever_has_no_room_is_passed_over_without_a_retry(mode: Mode, seed: int) -> None:
    budget = RetryBudget(reserve=RESERVE)
    world = World("costly", mode, PEERS, seed, budget.spend)
    for name in sorted(world.peers)[1:]:
        ill(world, name, "full")
    world.open()
    world.settle()
    assert world.auction.state == "done"
    assert budget.left == RESERVE


@pytest.mark.virtual
async def test_the_work_of_a_process_that_dies_is_awarded_again_within_the_budget(place: MarketPlace) -> None:
    workers = [await place.worker(name, effect="pure", capacity=1000) for name in "ab"]
    client = await place.client()
    calls = 60
    work = [asyncio.ensure_future(client.call("do", 0.5, timeout=20.0)) for _ in range(calls)]
    await until(lambda: sum(len(each.target.begun) for each in workers) == calls)
    lost = len(workers[0].target.begun)
    assert lost > RESERVE + calls / 10
    place.kill("a")
    ended = await asyncio.gather(*work, return_exceptions=True)
    failed = [each for each in ended if isinstance(each, MeshError)]
    assert all(isinstance(each, AgentLost) and each.detail["losses"] == 1 for each in failed)
    assert "have been awarded again already" in str(failed[0])
    again = len(workers[1].target.begun) - (calls - lost)
    assert 0 < again <= RESERVE + calls / 10
    assert len(failed) == lost - again


def taken(effect: Effect, again: Callable[[], bool]) -> World:
    """The work waits in the queue of whoever won it; everybody has bid."""
    world = World(effect, "directed", 2, 1, again)
    for name in world.peers:
        ill(world, name, "silent")
    world.open()
    while world.in_flight:
        world.deliver(0)
    return world


def refused(world: World, reason: RefusalReason) -> None:
    [award] = world.awards
    refusal = Refusal(agent="worker", instance=award.winner.instance, reason=reason)
    world.hear(m.Declined(award.record.award, award.winner.process, refusal))


@pytest.mark.parametrize("confirmed", [False, True])
def test_work_that_is_handed_back_unbegun_goes_to_another_without_a_retry(confirmed: bool) -> None:
    budget = RetryBudget(reserve=0.0)
    world = taken("costly", budget.spend)
    award = world.awards[0]
    if confirmed:
        world.hear(m.Confirmed(award.record.award, award.winner.process, running=False))
        refused(world, "draining")
        world.settle()
    else:
        refused(world, "draining")
    assert len(world.awards) == 2


def test_an_award_that_its_winner_has_forgotten_may_have_begun_and_takes_a_retry() -> None:
    world = taken("costly", RetryBudget(reserve=0.0).spend)
    refused(world, "unknown")
    assert len(world.awards) == 1
    assert world.outcomes[0].fault is not None
    assert world.outcomes[0].fault.code == AgentLost.code
    granted = taken("costly", RetryBudget(reserve=1.0).spend)
    refused(granted, "unknown")
    assert len(granted.awards) == 2
