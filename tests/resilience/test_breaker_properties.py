"""The breaker under any sequence of calls, endings, holders that vanish, pauses, and people."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from mesh.protocols.breaker_rows import BreakerState, Passage
from mesh.protocols.errors import BreakerOpen
from mesh.resilience.breaker import PASSAGES, TRANSITIONS, Breaker, BreakerPolicy, Outcome, Permit

POLICY = BreakerPolicy(hold=20.0)
PAUSES = st.sampled_from([0.0, 0.1, 1.0, 5.0, 31.0, 100.0])


class BreakerMachine(RuleBasedStateMachine):
    """`trials` are the trial calls whose places are kept: those under way, each with the end of its time."""

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.seen: list[Passage] = []
        self.breaker = Breaker(POLICY, random.Random(0), self.seen.append)
        self.trials: set[Permit] = set()

    @rule(seconds=PAUSES)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits, lasts=st.sampled_from([None, 1.0, 10.0, 1000.0]))
    def call(self, lasts: float | None) -> object:
        before, willing = self.breaker.state, self.breaker.would_admit(self.now)
        try:
            permit = self.breaker.admit(self.now, None if lasts is None else self.now + lasts)
        except BreakerOpen as error:
            assert not willing
            assert before != "closed"
            assert error.retry_after is None or error.retry_after > 0  # noqa: PT017
            return multiple()
        assert willing
        assert before != "forced-open"
        assert permit.trial == (self.breaker.state == "half-open")
        if permit.trial:
            assert permit.until <= self.now + POLICY.hold
            self.trials.add(permit)
        return permit

    @rule(
        permit=consumes(permits),
        outcome=st.sampled_from(["success", "failure", "ignored"]),
        seconds=st.sampled_from([0.0, 0.5, 10.0]),
    )
    def end(self, permit: Permit, outcome: Outcome, seconds: float) -> None:
        before, late = self.breaker.state, permit.epoch != len(self.seen)
        counted = self.breaker.counts(self.now)
        self.breaker.record(permit, outcome, seconds, self.now)
        self.trials.discard(permit)
        if late:
            assert self.breaker.state == before
            assert self.breaker.counts(self.now) == counted
        if outcome == "ignored":
            assert self.breaker.state == before
        if before == "closed" and self.breaker.state == "open":
            assert outcome == "failure" or seconds >= POLICY.slow

    @rule(permit=consumes(permits))
    def its_holder_vanishes(self, permit: Permit) -> None:
        """Nobody will ever tell how the call ended."""

    @rule()
    def force(self) -> None:
        self.breaker.force("switch", self.now, "ann@desk")
        assert self.breaker.state == "forced-open"
        assert self.breaker.by == "ann@desk"

    @rule()
    def release(self) -> None:
        self.breaker.release(self.now)
        assert self.breaker.state == "closed"

    @rule()
    def reset(self) -> None:
        was = self.breaker.state
        self.breaker.reset(self.now)
        assert self.breaker.state == ("forced-open" if was == "forced-open" else "closed")
        assert self.breaker.counts(self.now) == (0, 0, 0)

    @invariant()
    def no_more_trials_than_permits_are_under_way(self) -> None:
        epoch = len(self.seen)
        under_way = [each for each in self.trials if each.epoch == epoch and each.until > self.now]
        assert len(under_way) <= POLICY.permits

    @invariant()
    def it_is_never_open_for_longer_than_the_bound(self) -> None:
        if self.breaker.state == "open":
            assert self.breaker.retry_at - self.now <= POLICY.longest * (1 + POLICY.jitter)

    @invariant()
    def the_window_never_counts_more_failures_than_calls(self) -> None:
        calls, failed, slow = self.breaker.counts(self.now)
        assert 0 <= failed <= calls
        assert 0 <= slow <= calls

    @invariant()
    def its_history_is_what_happened_and_bounded(self) -> None:
        assert self.breaker.history == tuple(self.seen[-PASSAGES:])
        assert all(each.state in TRANSITIONS[each.was].values() for each in self.seen)
        assert all(before.state == after.was for before, after in zip(self.seen, self.seen[1:], strict=False))

    @invariant()
    def only_a_person_takes_back_what_a_person_did(self) -> None:
        assert all(each.why == "a person closed it" for each in self.seen if each.was == "forced-open")

    def teardown(self) -> None:
        """Wherever it ended up, and whoever still has its permits: with time and calls that succeed it closes."""
        assert closes(self.breaker, self.now) or self.breaker.state == "forced-open"


def closes(breaker: Breaker, now: float) -> bool:
    for _ in range(POLICY.permits + 2):
        now += POLICY.longest * 2 + POLICY.hold
        if breaker.would_admit(now):
            breaker.record(breaker.admit(now), "success", 0.0, now)
    return breaker.state == "closed"


TestBreakerProperties = BreakerMachine.TestCase


@given(outcomes=st.lists(st.sampled_from(["success", "failure"]), max_size=60), trips=st.integers(0, 3))
def test_a_low_traffic_target_opens_exactly_at_three_failures_in_a_row(outcomes: list[Outcome], trips: int) -> None:
    """So few calls a window that shares say nothing: only the row counts."""
    breaker, now, row = Breaker(BreakerPolicy(), random.Random(trips)), 0.0, 0
    for outcome in outcomes:
        now += 10.0
        breaker.record(breaker.admit(now), outcome, 0.0, now)
        row = row + 1 if outcome == "failure" else 0
        expected: BreakerState = "open" if row == 3 else "closed"
        assert breaker.state == expected
        if expected == "open":
            breaker.release(now)
            row = 0


@given(failed=st.lists(st.booleans(), min_size=1, max_size=80))
def test_a_busy_target_opens_exactly_when_half_of_at_least_twenty_calls_failed(failed: list[bool]) -> None:
    breaker, seen = Breaker(BreakerPolicy(in_a_row=1000), random.Random(0)), [0, 0]
    for each in failed:
        breaker.record(breaker.admit(1.0), "failure" if each else "success", 0.0, 1.0)
        seen[0] += 1
        seen[1] += each
        should = seen[0] >= 20 and 2 * seen[1] >= seen[0] and each
        assert (breaker.state == "open") == should
        if should:
            return
