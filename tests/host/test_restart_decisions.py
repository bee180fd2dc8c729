"""Whether and when a process is started again, and whether it hangs: decided on nothing but the time told."""

from __future__ import annotations

from random import Random

import pytest

from mesh.host.pulse import Pulse
from mesh.host.restarts import Again, GiveUp, RestartPolicy, Restarts

POLICY = RestartPolicy(base=1.0, cap=8.0, crashes=4, window=100.0, stable_after=30.0)


def restarts(policy: RestartPolicy = POLICY) -> Restarts:
    return Restarts(policy, Random(1))


def delay_of(decision: object) -> float:
    assert isinstance(decision, Again)
    return decision.delay


def test_delays_double_up_to_the_cap_within_their_jitter() -> None:
    history = restarts(RestartPolicy(base=1.0, cap=8.0, crashes=100))
    delays = [delay_of(history.crashed(now, "x")) for now in range(7)]
    for delay, whole in zip(delays, [1, 2, 4, 8, 8, 8, 8], strict=True):
        assert whole / 2 <= delay <= whole
    assert len(set(delays)) == len(delays)


def test_too_many_crashes_in_the_window_give_up_with_the_last_reason() -> None:
    history = restarts()
    decisions = [history.crashed(now, f"crash {now}") for now in range(5)]
    assert all(isinstance(each, Again) for each in decisions[:4])
    assert decisions[4] == GiveUp("ended 5 times within 100 s, the last time: crash 4")


def test_crashes_far_apart_never_give_up() -> None:
    history = restarts()
    assert all(isinstance(history.crashed(now, "x"), Again) for now in range(0, 3000, 30))


def test_a_stable_run_starts_the_delays_afresh() -> None:
    history = restarts()
    for now in range(3):
        history.crashed(now, "x")
    history.started(10.0)
    assert delay_of(history.crashed(40.0, "x")) <= 1.0


def test_a_hopeless_crash_gives_up_at_once() -> None:
    assert restarts().crashed(0.0, "cannot import", hopeless=True) == GiveUp("cannot import")


def test_what_is_forgiven_does_not_count() -> None:
    history = restarts()
    for now in range(4):
        history.crashed(now, "x")
    history.forgive()
    assert delay_of(history.crashed(5.0, "x")) <= 1.0


@pytest.fixture
def pulse() -> Pulse:
    return Pulse(hung_after=10.0)


def looks(pulse: Pulse, begin: float, end: float) -> list[float]:
    """The times between `begin` and `end`, a second apart, at which it was said to hang."""
    return [now for now in range(int(begin), int(end)) if pulse.hangs(now)]


def test_a_silent_process_hangs_after_its_time_and_not_before(pulse: Pulse) -> None:
    pulse.heard(0.0)
    assert looks(pulse, 0, 14) == [11, 12, 13]


def test_a_heartbeat_starts_the_time_afresh(pulse: Pulse) -> None:
    pulse.heard(0.0)
    assert looks(pulse, 0, 9) == []
    pulse.heard(9.0)
    assert looks(pulse, 9, 21)[0] == 20


def test_nothing_is_expected_before_the_first_heartbeat(pulse: Pulse) -> None:
    assert looks(pulse, 0, 100) == []


def test_nobody_is_judged_right_after_we_stood_still_ourselves(pulse: Pulse) -> None:
    pulse.heard(0.0)
    assert looks(pulse, 0, 5) == []
    assert not pulse.hangs(500.0)
    pulse.heard(501.0)
    assert looks(pulse, 501, 510) == []


def test_a_process_that_stays_silent_after_we_stood_still_is_found_out(pulse: Pulse) -> None:
    pulse.heard(0.0)
    assert looks(pulse, 0, 5) == []
    assert looks(pulse, 500, 520)[0] == 506
