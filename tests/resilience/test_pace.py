"""When a second attempt is worth its cost, and that it never costs much."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.errors import MeshError, Overloaded, Refused, TimedOut
from mesh.resilience.hedging import Hedge, Pace, Paces


def measured(calls: int = 200, seconds: float = 0.1) -> Pace:
    pace, source = Pace(Hedge()), random.Random(2)
    for _ in range(calls):
        pace.called()
        pace.answered(seconds * source.uniform(0.5, 1.0))
    return pace


def test_nothing_is_hedged_before_enough_is_known() -> None:
    pace = Pace(Hedge(least=20, share=0.5))
    for number in range(20):
        assert pace.delay(0.0) is None, number
        pace.called()
        pace.answered(0.1)
    assert pace.delay(0.0) == pytest.approx(0.1, rel=0.1)


def test_the_second_attempt_comes_after_nineteen_of_twenty_are_answered() -> None:
    delay = measured().delay(0.0)
    assert delay is not None
    assert 0.095 <= delay <= 0.11


@given(st.lists(st.booleans(), min_size=50, max_size=600), st.floats(0.01, 0.2))
def test_at_most_that_share_of_the_calls_is_made_twice(slow: list[bool], share: float) -> None:
    pace, hedged = Pace(Hedge(share=share, least=1)), 0
    pace.answered(0.1)
    for number, each in enumerate(slow):
        pace.called()
        if each and (delay := pace.delay(number)) is not None:
            hedged += pace.begin(delay, number)
    assert hedged <= share * len(slow) + 1e-6


@pytest.mark.parametrize("error", [Overloaded("x"), Refused("x", detail={"reason": "capacity"})])
def test_who_has_too_much_to_do_is_not_asked_twice(error: MeshError) -> None:
    pace = measured()
    pace.failed(error, 100.0)
    assert pace.delay(104.9) is None
    assert pace.delay(105.1) is not None


def test_who_says_how_long_is_given_that_long() -> None:
    pace = measured()
    pace.failed(Overloaded("x", retry_after=30.0), 100.0)
    assert pace.delay(129.0) is None
    assert pace.delay(131.0) is not None


def test_another_failure_says_nothing_of_overload() -> None:
    pace = measured()
    pace.failed(TimedOut("x"), 100.0)
    assert pace.delay(100.0) is not None


def test_when_we_are_late_ourselves_we_do_not_ask_for_more() -> None:
    pace = measured()
    delay = pace.delay(0.0)
    assert delay is not None
    assert not pace.begin(3 * delay, 0.0)
    assert pace.begin(1.1 * delay, 0.0)


def test_the_pace_of_a_target_is_kept_unless_it_is_to_be_another() -> None:
    paces = Paces()
    first = paces.of("a", "look")
    assert paces.of("a", "look", Hedge()) is first
    assert paces.of("a", "see") is not first
    assert paces.of("a", "look", Hedge(share=0.01)) is not first
