"""The breaker by example: what opens it, what does not, and how it closes again."""

from __future__ import annotations

import random

import pytest

from mesh.protocols.errors import BreakerOpen
from mesh.protocols.transitions import terminal
from mesh.resilience.breaker import LATE, MEANINGS, TRANSITIONS, Breaker, BreakerPolicy, Outcome, Permit


def a_breaker(**policy: float) -> Breaker:
    return Breaker(BreakerPolicy(**policy), random.Random(1))


def call(breaker: Breaker, outcome: Outcome, now: float, seconds: float = 0.0) -> None:
    breaker.record(breaker.admit(now), outcome, seconds, now)


def opened(now: float = 0.0) -> Breaker:
    breaker = a_breaker()
    for _ in range(3):
        call(breaker, "failure", now)
    assert breaker.state == "open"
    return breaker


def test_half_of_twenty_calls_failing_opens_it() -> None:
    breaker = a_breaker(in_a_row=1000)
    for number in range(19):
        call(breaker, "failure" if number % 2 else "success", 1.0)
    assert breaker.state == "closed"
    call(breaker, "failure", 1.0)
    assert breaker.state == "open"
    assert "10 of the last 20 calls failed" in breaker.reason


def test_fewer_than_half_does_not() -> None:
    breaker = a_breaker()
    for number in range(300):
        call(breaker, "failure" if number % 3 == 2 else "success", 1.0)
    assert breaker.state == "closed"


def test_four_fifths_of_twenty_calls_slow_opens_it() -> None:
    breaker = a_breaker(slow=1.0)
    for number in range(20):
        call(breaker, "success", 1.0, seconds=0.1 if number < 4 else 2.0)
    assert breaker.state == "open"
    assert "took longer than 1 s" in breaker.reason


def test_three_failures_in_a_row_open_it_at_low_traffic() -> None:
    assert "the last 3 calls failed" in opened().reason


def test_a_success_between_them_starts_the_row_afresh() -> None:
    breaker = a_breaker()
    for outcome in ("failure", "failure", "success", "failure", "failure"):
        call(breaker, outcome, 0.0)
    assert breaker.state == "closed"


def test_what_is_not_the_targets_fault_does_not_count() -> None:
    breaker = a_breaker()
    for _ in range(100):
        call(breaker, "ignored", 0.0, seconds=100.0)
    assert breaker.state == "closed"
    assert breaker.counts(0.0) == (0, 0, 0)


def test_calls_leave_the_window() -> None:
    breaker = a_breaker(in_a_row=1000, window=30.0)
    for _ in range(19):
        call(breaker, "failure", 0.0)
    assert breaker.counts(29.0) == (19, 19, 0)
    call(breaker, "failure", 31.0)
    assert breaker.state == "closed"
    assert breaker.counts(31.0) == (1, 1, 0)


def test_open_refuses_at_once_and_says_when_to_ask_again() -> None:
    with pytest.raises(BreakerOpen) as caught:
        opened().admit(0.5)
    assert caught.value.retry_after is not None
    assert 0.4 < caught.value.retry_after < 1.2


def test_half_open_reserves_three_permits_at_admission() -> None:
    breaker = opened()
    for _ in range(3):
        assert breaker.admit(10.0).trial
    with pytest.raises(BreakerOpen):
        breaker.admit(10.0)


def test_three_successes_close_it() -> None:
    breaker = opened()
    permits = [breaker.admit(10.0) for _ in range(3)]
    for permit in permits:
        breaker.record(permit, "success", 0.0, 10.0)
    assert breaker.state == "closed"
    assert breaker.counts(10.0) == (0, 0, 0)


def test_one_failed_trial_opens_it_for_twice_as_long() -> None:
    breaker = opened()
    first = breaker.retry_at
    call(breaker, "failure", 10.0)
    assert breaker.state == "open"
    assert breaker.retry_at - 10.0 >= 2 * 1.0
    assert first <= 1.2
    call(breaker, "failure", breaker.retry_at)
    assert breaker.retry_at > 16.0


def test_the_open_time_has_an_upper_bound() -> None:
    breaker, now = opened(), 0.0
    for _ in range(40):
        now = breaker.retry_at
        call(breaker, "failure", now)
    assert breaker.retry_at - now <= 60 * 1.2


def test_a_trial_that_says_nothing_gives_its_permit_back() -> None:
    breaker = opened()
    for _ in range(10):
        call(breaker, "ignored", 10.0)
    assert breaker.state == "half-open"
    assert breaker.admit(10.0).trial


def test_a_call_admitted_before_it_opened_counts_no_more() -> None:
    breaker = a_breaker()
    early = breaker.admit(0.0)
    for _ in range(3):
        call(breaker, "failure", 0.0)
    permit: Permit = breaker.admit(10.0)
    breaker.record(early, "failure", 0.0, 10.0)
    assert breaker.state == "half-open"
    breaker.record(permit, "success", 0.0, 10.0)
    assert breaker.state == "half-open"


def test_forced_open_stays_open_until_released() -> None:
    breaker = a_breaker()
    breaker.force("kill switch", 0.0)
    with pytest.raises(BreakerOpen, match="kill switch") as caught:
        breaker.admit(1e9)
    assert caught.value.retry_after is None
    breaker.release(1e9)
    assert breaker.admit(0.0)


def test_the_table_is_explained_and_has_no_dead_end() -> None:
    assert {step for steps in TRANSITIONS.values() for step in steps} == set(MEANINGS)
    assert not terminal(TRANSITIONS)


def test_a_permit_that_nobody_gives_back_is_free_again_when_its_time_is_over() -> None:
    breaker = opened()
    for _ in range(3):
        breaker.admit(10.0, until=15.0)
    with pytest.raises(BreakerOpen):
        breaker.admit(15.0 + LATE - 0.1)
    for _ in range(3):
        call(breaker, "success", 15.0 + LATE)
    assert breaker.state == "closed"


def test_a_call_without_a_known_end_is_waited_for_as_long_as_the_policy_says() -> None:
    breaker = opened()
    permits = [breaker.admit(10.0, until) for until in (None, 1e9, 20.0)]
    assert [permit.until for permit in permits] == [310.0, 310.0, 20.0 + LATE]


def test_what_is_heard_after_a_place_was_given_to_another_counts_only_if_it_failed() -> None:
    breaker = opened()
    late = breaker.admit(10.0, until=11.0)
    for _ in range(3):
        breaker.admit(11.0 + LATE)
    breaker.record(late, "success", 0.0, 13.0)
    assert breaker.permits(13.0) == 0
    breaker.record(late, "failure", 3.0, 13.0)
    assert breaker.state == "open"


def test_close_takes_back_what_was_forced_and_reset_does_not() -> None:
    breaker = a_breaker()
    breaker.force("incident 7", 1.0, "ann@desk")
    breaker.reset(2.0)
    assert breaker.state == "forced-open"
    breaker.release(3.0, "bob@desk")
    assert breaker.state == "closed"
    breaker = opened()
    breaker.reset(0.5, "bob@desk")
    assert breaker.state == "closed"
    assert breaker.history[-1].by == "bob@desk"
    call(breaker, "failure", 1.0)
    call(breaker, "failure", 1.0)
    assert breaker.state == "closed", "the failures before count no more"


def test_its_history_says_when_from_what_to_what_and_why() -> None:
    breaker = opened(5.0)
    call(breaker, "failure", 10.0)
    assert [(each.at, each.was, each.state, each.why) for each in breaker.history] == [
        (5.0, "closed", "open", "the last 3 calls failed"),
        (10.0, "open", "half-open", "the open time is over"),
        (10.0, "half-open", "open", "a trial call failed"),
    ]
