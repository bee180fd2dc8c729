"""A timer is set to no moment before its time, however the seconds are rounded."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from mesh.jobs.waiting.timers import _moment
from mesh.transport.memory.schedules import next_time


@given(st.floats(1.6e9, 2.2e9))
@example(1800000800.1990001)
def test_nothing_comes_due_before_its_time_nor_much_later(at: float) -> None:
    assert 0.0 <= next_time(f"@at {_moment(at)}", 0.0) - at <= 0.0021
