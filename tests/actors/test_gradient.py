"""The adaptive limit, against simulated things behind an agent: it finds the knee, follows it, and costs little."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.actors.admitting.gradient import WINDOW, Gradient

AT_BEST = 0.05
"""Seconds a call takes where nothing is in its way."""


class Downstream:
    """Something that does `knee(now)` calls at once at full speed; with more than that each takes longer."""

    def __init__(self, knee: Callable[[float], int], *, noise: float = 0.3, best: float = AT_BEST) -> None:
        self.knee, self.noise, self.best = knee, noise, best
        self.random = Random(7)

    def takes(self, at_once: int, now: float) -> float:
        spread = 1 - self.noise + self.noise * self.random.expovariate(1)
        return self.best * max(1.0, at_once / self.knee(now)) * spread


def run(gradient: Gradient, behind: Downstream, seconds: float, *, load: int = 10_000) -> list[tuple[float, int]]:
    """Calls wait all the time, at most `load` of them; the limit after each one that ended."""
    now, running, said = 0.0, list[tuple[float, float, int]](), list[tuple[float, int]]()
    while now < seconds:
        while len(running) < min(gradient.limit, load):
            at_once = len(running) + 1
            heapq.heappush(running, (now + behind.takes(at_once, now), now, gradient.began(at_once)))
        now, began, ticket = heapq.heappop(running)
        gradient.ended(ticket, "x", now - began)
        said.append((now, gradient.limit))
    for _, _, ticket in running:
        gradient.ended(ticket, "x", None)
    return said


def mean(said: list[tuple[float, int]], since: float, until: float) -> float:
    limits = [limit for now, limit in said if since <= now < until]
    return sum(limits) / len(limits)


@pytest.mark.parametrize(("most", "knee"), [(200, 10), (200, 50), (64, 4), (32, 8)])
@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_it_finds_the_knee_and_loses_next_to_nothing(most: int, knee: int, noise: float) -> None:
    said = run(Gradient(most), Downstream(lambda now: knee, noise=noise), 120)
    assert knee * 0.8 < mean(said, 80, 120) < knee * 3
    done = sum(now >= 60 for now, _ in said) / 60
    assert done > 0.93 * knee / AT_BEST


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_where_nothing_gets_slower_it_stays_at_what_was_declared(noise: float) -> None:
    said = run(Gradient(64), Downstream(lambda now: 1000, noise=noise), 60)
    assert mean(said, 0, 60) > 0.93 * 64


def test_after_a_brown_out_it_goes_up_again() -> None:
    said = run(Gradient(200), Downstream(lambda now: 10 if 40 < now < 100 else 150), 140)
    assert mean(said, 20, 40) > 110
    assert mean(said, 80, 100) < 30
    assert mean(said, 120, 140) > 110


def test_calls_that_take_longer_for_another_reason_lower_it_only_until_a_probe_has_found_that_out() -> None:
    gradient, behind = Gradient(64), Downstream(lambda now: 1000)
    run(gradient, behind, 20)
    behind.best *= 6
    said = run(gradient, behind, 60)
    assert min(limit for _, limit in said) < 64
    assert mean(said, 40, 60) > 0.9 * 64


def test_another_mix_of_commands_is_no_change_of_speed() -> None:
    gradient = Gradient(16)
    for number in range(600):
        command, seconds = ("short", 0.01) if number < 300 or number % 10 == 0 else ("long", 3.0)
        gradient.ended(gradient.began(16), command, seconds)
    assert gradient.limit in (8, 16), "16, or half of that while it probes"
    assert gradient.long("short") == pytest.approx(0.01)


def test_who_uses_less_than_half_of_it_makes_it_no_larger() -> None:
    gradient = Gradient(100)
    run(gradient, Downstream(lambda now: 10), 60)
    low = gradient.limit
    run(gradient, Downstream(lambda now: 1000), 30, load=2)
    assert gradient.limit <= max(low, 40)


def test_what_says_that_it_is_overloaded_is_listened_to_once_a_window() -> None:
    gradient = Gradient(64)
    tickets = [gradient.began(64) for _ in range(64)]
    for ticket in tickets:
        gradient.ended(ticket, "x", None, dropped=True)
    assert gradient.limit == 39


def test_calls_that_say_nothing_do_not_keep_a_window_open() -> None:
    gradient = Gradient(8)
    for _ in range(20 * WINDOW):
        gradient.ended(gradient.began(8), "x", None)
    assert gradient.limit in (4, 8)


@settings(max_examples=60)
@given(
    st.integers(2, 80),
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 80), st.booleans(), st.booleans()), max_size=400),
)
def test_whatever_happens_it_stays_between_one_and_what_was_declared(
    most: int, calls: list[tuple[float, int, bool, bool]]
) -> None:
    gradient, tickets = Gradient(most), list[int]()
    for seconds, at_once, begins, dropped in calls:
        if begins or not tickets:
            tickets.append(gradient.began(min(at_once, gradient.limit)))
        else:
            before = gradient.limit
            changed = gradient.ended(tickets.pop(), "x", seconds, dropped=dropped)
            assert changed == (gradient.limit != before)
        assert 1 <= gradient.limit <= most
