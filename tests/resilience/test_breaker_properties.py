"""The breaker under any sequence of calls, endings and pauses."""

from __future__ import annotations

import random

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from mesh.protocols.errors import BreakerOpen
from mesh.resilience.breaker import Breaker, BreakerPolicy, Permit, State, Verdict

POLICY = BreakerPolicy()


class BreakerMachine(RuleBasedStateMachine):
    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.seen: list[State] = []
        self.breaker = Breaker(POLICY, random.Random(0), lambda state, _: self.seen.append(state))
        self.trials: set[Permit] = set()

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 5.0, 31.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=permits)
    def call(self) -> object:
        before, willing = self.breaker.state, self.breaker.would_admit(self.now)
        try:
            permit = self.breaker.admit(self.now)
        except BreakerOpen as error:
            assert not willing
            assert before != "closed"
            assert error.retry_after is None or error.retry_after > 0  # noqa: PT017
            return multiple()
        assert willing
        assert before != "forced-open"
        assert permit.trial == (self.breaker.state == "half-open")
        if before != "half-open":
            self.trials.clear()
        if permit.trial:
            self.trials.add(permit)
        return permit

    @rule(
        permit=consumes(permits),
        verdict=st.sampled_from(["success", "failure", "ignored"]),
        seconds=st.sampled_from([0.0, 0.5, 10.0]),
    )
    def end(self, permit: Permit, verdict: Verdict, seconds: float) -> None:
        before = self.breaker.state
        self.breaker.record(permit, verdict, seconds, self.now)
        self.trials.discard(permit)
        if verdict == "ignored":
            assert self.breaker.state == before
        if before == "closed" and self.breaker.state == "open":
            assert verdict == "failure" or seconds >= POLICY.slow
        if self.breaker.state != "half-open":
            self.trials.clear()

    @rule()
    def force(self) -> None:
        self.breaker.force("switch")
        assert self.breaker.state == "forced-open"

    @rule()
    def release(self) -> None:
        was = self.breaker.state
        self.breaker.release()
        assert self.breaker.state == ("closed" if was == "forced-open" else was)

    @invariant()
    def no_more_trials_than_permits_are_under_way(self) -> None:
        assert len(self.trials) <= POLICY.permits

    @invariant()
    def it_is_never_open_for_longer_than_the_bound(self) -> None:
        if self.breaker.state == "open":
            assert self.breaker.retry_at - self.now <= POLICY.longest * (1 + POLICY.jitter)

    @invariant()
    def the_window_never_counts_more_failures_than_calls(self) -> None:
        calls, failed, slow = self.breaker.counts(self.now)
        assert 0 <= failed <= calls
        assert 0 <= slow <= calls


TestBreakerProperties = BreakerMachine.TestCase
