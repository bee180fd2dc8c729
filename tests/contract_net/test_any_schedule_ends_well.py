"""Whatever the channel does, an auction ends, and what it promised holds."""

from __future__ import annotations

from random import Random
from typing import get_args

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Mode
from mesh.protocols.auction_states import TERMINAL
from mesh.protocols.constraints import Effect
from tests.contract_net.hostile_channel import World

HOSTILE = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ACTIONS = ("deliver", "lose", "double", "kill", "revive", "wait", "work", "cancel", "suspect", "restart")
CHANCES = st.sampled_from(
    [
        (20, 1, 2, 0, 0, 4, 6, 1, 1, 0),  # a bad network
        (20, 2, 1, 2, 2, 8, 5, 0, 2, 4),  # dying participants
        (20, 5, 5, 1, 1, 9, 5, 1, 1, 2),  # everything at once
        (20, 0, 6, 1, 0, 9, 9, 0, 0, 1),  # copies of everything
    ]
)
Schedule = list[tuple[str, int]]


def schedule_of(chances: tuple[int, ...], seed: int, length: int) -> Schedule:
    random = Random(seed)
    return [(action, random.randrange(64)) for action in random.choices(ACTIONS, chances, k=length)]


schedules = st.builds(schedule_of, CHANCES, st.integers(0, 2**32), st.integers(0, 80))
quiet = st.builds(schedule_of, st.just((20, 4, 5, 1, 0, 8, 6, 0, 1, 0)), st.integers(0, 2**32), st.integers(0, 80))
modes, counts, seeds = st.sampled_from(get_args(Mode)), st.integers(1, 4), st.integers(0, 9)
worlds = st.builds(World, st.sampled_from(get_args(Effect)), modes, counts, seeds)
at_most_once = st.builds(World, st.just("at_most_once"), modes, counts, seeds)


def act(world: World, action: str, choice: int, *, cancels: bool = True) -> None:
    names = sorted(world.peers)
    name = names[choice % len(names)]
    busy = [(peer, award) for peer in world.peers.values() for award in peer.running]
    if action in ("deliver", "lose", "double") and world.in_flight:
        getattr(world, action)(choice % len(world.in_flight))
    elif action == "kill":
        world.kill(name)
    elif action == "restart":
        world.kill(name)
        world.revive(name)
    elif action == "revive" and name not in world.alive:
        world.revive(name)
    elif action == "wait":
        world.wait((choice + 1) / 32)
    elif action == "work" and busy:
        peer, award = busy[choice % len(busy)]
        peer.work(award, ("confirm", "return", "return", "raise")[choice % 4])
    elif action == "cancel" and choice == 0 and cancels:
        world.hear(m.CancelAsked("enough"))
    elif action == "suspect":
        world.hear(m.Suspected(name if choice % 2 else ""))


def run(world: World, schedule: Schedule, *, cancels: bool = True) -> m.Outcome:
    world.open()
    for action, choice in schedule:
        act(world, action, choice, cancels=cancels)
    world.settle()
    assert world.auction.state in TERMINAL
    assert len(world.outcomes) == 1, "an auction has one outcome"
    event(f"{world.auction.terms.effect}: {world.auction.state}")
    return world.outcomes[0]


@HOSTILE
@given(worlds, schedules)
def test_every_schedule_ends_in_one_terminal_state_with_one_outcome(world: World, schedule: Schedule) -> None:
    outcome = run(world, schedule)
    assert (outcome.fault is None) == (world.auction.state == "done")
    if world.auction.state == "done":
        assert outcome.record is not None
        winner = outcome.record.won
        assert bytes(outcome.content) == f'"{winner.instance}:{outcome.record.award}"'.encode(), (
            "the winner's own result"
        )


@HOSTILE
@given(worlds, quiet)
def test_an_award_is_begun_by_its_winner_only_and_once_in_a_life(world: World, schedule: Schedule) -> None:
    run(world, schedule)
    assert all(len(begun) <= 1 for begun in world.begun.values())
    assert all(times == 1 for times in world.executed.values())


@HOSTILE
@given(at_most_once, schedules)
def test_what_may_be_done_at_most_once_is_never_done_twice(world: World, schedule: Schedule) -> None:
    run(world, schedule)
    assert len(world.effects) <= 1, world.history


@HOSTILE
@given(at_most_once, schedules)
def test_a_certain_no_is_certain_and_a_doubt_is_said(world: World, schedule: Schedule) -> None:
    outcome = run(world, schedule, cancels=False)
    if outcome.fault is not None and outcome.fault.code not in ("in-doubt", "handler-failed"):
        assert not world.effects, (outcome.fault, world.history)


@HOSTILE
@given(worlds, schedules)
def test_results_of_winners_given_up_are_evidence_and_never_applied(world: World, schedule: Schedule) -> None:
    outcome = run(world, schedule)
    applied = outcome.record.award if outcome.record and outcome.fault is None else ""
    assert all(each.award != applied for each in world.evidence)


@HOSTILE
@given(worlds, schedules)
def test_when_it_is_over_no_bid_holds_capacity_for_longer_than_its_lease(world: World, schedule: Schedule) -> None:
    run(world, schedule)
    assert all(peer.book.bids.count(peer.seat, world.now + 2.0) == 0 for peer in world.peers.values())
