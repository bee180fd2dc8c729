"""Figures and bids from measured calls."""

from __future__ import annotations

import pytest

from mesh.actors.running.tally import UNKNOWN_LATENCY, Tally
from tests.actors.queues import HANDLER


def test_the_first_call_replaces_the_guess_and_later_ones_move_it_slowly() -> None:
    tally = Tally()
    assert tally.bid(HANDLER, waiting=0, running=0, capacity=1).latency == UNKNOWN_LATENCY
    tally.add("do_it", 2.0, True)
    assert tally.of("do_it").latency == 2.0
    for _ in range(100):
        tally.add("do_it", 2.0, True)
    tally.add("do_it", 12.0, True)
    assert tally.of("do_it").latency == pytest.approx(3.0)


def test_failures_lower_the_success_and_successes_heal_it() -> None:
    tally = Tally()
    for _ in range(10):
        tally.add("do_it", 1.0, False, "handler-failed: no")
    low = tally.whole.success
    assert low < 0.4
    assert tally.of("do_it").last_error == "handler-failed: no"
    for _ in range(30):
        tally.add("do_it", 1.0, True)
    assert tally.whole.success > 0.95


@pytest.mark.parametrize(
    ("waiting", "running", "capacity", "latency", "left"),
    [(0, 0, 1, 1.0, 1), (0, 1, 1, 2.0, 0), (3, 1, 1, 5.0, 0), (0, 1, 4, 1.0, 3), (4, 4, 4, 2.25, 0)],
)
def test_a_bid_counts_those_ahead(waiting: int, running: int, capacity: int, latency: float, left: int) -> None:
    tally = Tally()
    tally.add("do_it", 1.0, True)
    bid = tally.bid(HANDLER, waiting=waiting, running=running, capacity=capacity)
    assert (bid.latency, bid.capacity, bid.queue) == (latency, left, waiting + running)
    assert (bid.price, bid.tier) == (0.5, 1)


@pytest.mark.parametrize("before", [0, 1, 7, 9, 10, 40])
@pytest.mark.parametrize("times", [1, 2, 12])
@pytest.mark.parametrize("succeeded", [True, False])
def test_calls_alike_count_at_once_what_they_count_one_by_one(before: int, times: int, succeeded: bool) -> None:
    one, many = Tally(), Tally()
    for number in range(before):
        for tally in (one, many):
            tally.add("x", 0.01 * (number % 7), number % 3 > 0)
    for _ in range(times):
        one.add("x", 0.3, succeeded)
    many.add("x", 0.3, succeeded, times=times)
    for name in ("latency", "success", "handled", "failed", "busy"):
        assert getattr(many.whole, name) == pytest.approx(getattr(one.whole, name))
        assert getattr(many.of("x"), name) == pytest.approx(getattr(one.of("x"), name))
