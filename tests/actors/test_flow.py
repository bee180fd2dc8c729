"""How long somebody who comes now would wait, measured; and when those come back who find no room. Without an actor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.actors.admitting.flow import JUMP, SETTLED, SHARE, SURE, TRICKLE, Flow
from mesh.actors.admitting.returning import Line


def measured(pace: float, *, times: int = 50, capacity: int = 1) -> tuple[Flow, float]:
    """A flow that has been contended for some time, and when that was."""
    flow, now = Flow(256), 1.0
    flow.began(now, waiting=True, capacity=capacity)
    for _ in range(times):
        now += pace
        flow.began(now, waiting=True, capacity=capacity)
    return flow, now


def test_the_pace_is_the_time_between_two_beginnings_while_somebody_waits() -> None:
    flow, now = measured(0.2)
    assert flow.pace == pytest.approx(0.2)
    flow.began(now + 0.2, waiting=False, capacity=1)
    flow.began(now + 100, waiting=False, capacity=1)
    assert flow.pace == pytest.approx(0.2), "nobody waited for a hundred seconds: that says nothing"


def test_all_places_taken_is_as_good_as_somebody_waiting() -> None:
    flow, now = Flow(256), 1.0
    for _ in range(SETTLED):
        flow.began(now, waiting=False, capacity=1)
        flow.crowded()
        now += 0.3
    flow.began(now, waiting=False, capacity=1)
    assert flow.settled
    assert flow.pace == pytest.approx(0.3)


def test_a_process_that_was_stopped_for_a_minute_is_not_slow() -> None:
    flow, now = measured(0.01)
    flow.began(now + 60, waiting=True, capacity=1)
    assert flow.pace < 0.01 * JUMP


def test_what_would_be_too_late_is_told_by_how_much() -> None:
    flow, now = measured(0.1)
    assert flow.late_by(9, call=0.1, left=10.0, now=now) == 0
    flow.late_by(99, call=0.1, left=1.0, now=now)
    assert flow.late_by(99, call=0.1, left=1.0, now=now) == pytest.approx(SURE * 10.0 + 0.1 - 1.0)


def test_nobody_is_refused_by_a_guess_nor_where_nobody_is_ahead() -> None:
    cold = Flow(256)
    assert cold.late_by(1000, call=5.0, left=0.01, now=1.0) == 0
    flow, now = measured(10.0)
    for _ in range(3):
        assert flow.late_by(0, call=10.0, left=0.01, now=now) == 0


def test_a_trickle_is_let_in_and_heals_a_pace_that_is_wrong() -> None:
    flow, now = measured(1.0)
    let_in = 0
    for step in range(1000):
        let_in += flow.late_by(20, call=0.0, left=5.0, now=now + step / 10) == 0
    assert let_in == pytest.approx(100 / max(TRICKLE, SHARE * flow.pace), abs=1.1)
    for _ in range(60):
        now += 0.01
        flow.began(now, waiting=True, capacity=1)
    assert flow.pace < 0.02
    assert flow.late_by(20, call=0.0, left=5.0, now=now) == 0


@given(st.lists(st.floats(0.0001, 10.0), min_size=SETTLED, max_size=200), st.integers(1, 64))
def test_the_pace_is_never_outside_what_was_measured(intervals: list[float], capacity: int) -> None:
    flow, now = Flow(256), 1.0
    flow.began(now, waiting=True, capacity=capacity)
    for seconds in intervals:
        now += seconds
        flow.began(now, waiting=True, capacity=capacity)
    assert 0 <= flow.pace <= max(intervals) + 1e-6


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=100), st.integers(1, 50), st.floats(0.005, 2.0))
def test_those_sent_away_come_back_one_after_the_other_and_none_later_than_the_line_is_long(
    pauses: list[float], places: int, pace: float
) -> None:
    line, now, last = Line(places), 0.0, 0.0
    for pause in pauses:
        now += pause
        after = line.place(pace, now)
        assert 0 < after <= places * pace + 1e-9
        assert now + after >= last - 1e-9
        if after < places * pace - 1e-9:
            assert now + after >= last + pace - 1e-9, "no two in the same moment while the line is not at its end"
        last = now + after
