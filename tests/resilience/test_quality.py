"""The quality breaker: a version whose outputs keep failing their gates is passed over, whoever runs it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocols.artifacts import Verdict
from mesh.protocols.breaker_rows import BreakersWanted
from mesh.protocols.errors import BreakerOpen
from mesh.protocols.ports import Clock, Ids
from mesh.resilience import quality as module
from mesh.resilience.quality import Quality, version_of
from mesh.resilience.quality_breaker import QUALITY, QualityBreaker

pytestmark = pytest.mark.virtual

KEY = (version_of("writer", "2.0.0"), "write")
ROW = QUALITY.in_a_row


@pytest.fixture
def quality(clock: Clock, ids: Ids) -> Quality:
    return Quality(clock, ids.random)


def said(gate: str = "facts", *, passed: bool = False, **more: object) -> Verdict:
    return Verdict(gate=gate, result="pass" if passed else "fail", by="checker", **more)  # type: ignore[arg-type]


def record(quality: Quality, verdict: Verdict, times: int = 1, output: str = "") -> None:
    for _ in range(times):
        quality.record("writer", "2.0.0", "write", verdict, output=output)


async def opened(quality: Quality, clock: Clock) -> None:
    """Opened by the gate `facts`, and its time is over."""
    record(quality, said(), times=ROW)
    assert not quality.allows(*KEY)
    await clock.sleep(40)


async def test_outputs_that_do_not_fit_their_contract_open_it(quality: Quality) -> None:
    for _ in range(ROW):
        quality.misfits(KEY)
    assert not quality.allows(*KEY)
    assert quality.rows()[0].reason == "the last 5 outputs failed at 'contract'"
    assert quality.allows(version_of("writer", "2.0.1"), "write"), "another version is fine"
    assert quality.allows(KEY[0], "summarise"), "and so is another capability"


async def test_half_of_ten_outputs_failing_their_gates_opens_it(quality: Quality) -> None:
    for number in range(10):
        quality.fits(KEY)
        if number % 2:
            record(quality, said())
            record(quality, said(passed=True), times=number < 9)
    assert quality.rows()[0].state == "open"
    assert "5 of the last 10 outputs failed their gates" in quality.rows()[0].reason


async def test_fewer_do_not(quality: Quality) -> None:
    for number in range(100):
        quality.fits(KEY)
        record(quality, said(passed=number % 3 > 0))
    (row,) = quality.rows()
    assert row.state == "closed"
    assert (row.calls, row.failed) == (100, 34)


async def test_an_output_that_is_named_counts_once_however_many_gates_it_fails(quality: Quality) -> None:
    for number in range(10):
        quality.fits(KEY)
        for gate in ("facts", "tone"):
            record(quality, said(gate, passed=number % 3 > 0), output=f"artifact-{number}")
    (row,) = quality.rows()
    assert (row.state, row.calls, row.failed) == ("closed", 10, 4)


async def test_minor_failures_and_gates_that_cannot_tell_count_for_nothing(quality: Quality) -> None:
    record(quality, said(severity="minor"), times=20)
    record(quality, Verdict(gate="facts", result="cannot_verify", by="checker"), times=20)
    assert quality.rows() == []


async def test_a_trial_passes_only_at_the_gate_that_opened_it(quality: Quality, clock: Clock) -> None:
    await opened(quality, clock)
    for _ in range(QUALITY.permits):
        quality.admit(KEY, clock.monotonic() + 10)
        quality.fits(KEY)
    assert quality.rows()[0].state == "half-open", "that the outputs are well formed says nothing of their facts"
    with pytest.raises(BreakerOpen) as refused:
        quality.admit(KEY)
    assert refused.value.detail["kind"] == "quality"
    record(quality, said(passed=True), times=QUALITY.permits)
    assert quality.rows()[0].state == "closed"


async def test_a_gate_that_has_fallen_silent_is_not_waited_for_for_ever(quality: Quality, clock: Clock) -> None:
    await opened(quality, clock)
    quality.admit(KEY, clock.monotonic() + 10)
    await clock.sleep(QUALITY.hold + 1)
    for _ in range(QUALITY.permits):
        quality.admit(KEY, clock.monotonic() + 10)
        quality.fits(KEY)
    assert quality.rows()[0].state == "closed"


async def test_one_bad_trial_output_opens_it_for_twice_as_long(quality: Quality, clock: Clock) -> None:
    await opened(quality, clock)
    quality.admit(KEY)
    quality.misfits(KEY)
    (row,) = quality.rows()
    assert row.state == "open"
    assert row.retry_in is not None
    assert row.retry_in >= 2 * QUALITY.first


async def test_who_was_well_again_is_given_no_longer_than_the_first_time(quality: Quality, clock: Clock) -> None:
    for _ in range(3):
        await opened(quality, clock)
        for _ in range(QUALITY.permits):
            quality.admit(KEY, clock.monotonic() + 10)
        record(quality, said(passed=True), times=QUALITY.permits)
        assert quality.rows()[0].state == "closed"
    record(quality, said(), times=ROW)
    (row,) = quality.rows()
    assert row.retry_in is not None
    assert row.retry_in <= QUALITY.first * (1 + QUALITY.jitter)


async def test_what_is_said_of_outputs_from_before_counts_for_nothing(quality: Quality, clock: Clock) -> None:
    await opened(quality, clock)
    record(quality, said(passed=True), times=10)
    assert quality.rows()[0].state == "open"
    quality.admit(KEY)
    record(quality, said(passed=True))
    record(quality, said(), times=3)
    assert quality.rows()[0].state == "half-open", "no trial is under way: these are of older outputs"


async def test_whoever_weighs_bids_hears_of_each_output_that_is_found_wanting_once(quality: Quality) -> None:
    heard: list[tuple[str, str, str]] = []
    quality.on_wanting = lambda *which: heard.append(which)
    quality.misfits(KEY)
    record(quality, said("facts"), output="artifact 1")
    record(quality, said("tone"), output="artifact 1")
    record(quality, said(passed=True))
    quality.fits(KEY)
    assert heard == [("writer", "2.0.0", "write")] * 2


async def test_the_outputs_that_failed_are_remembered_within_bounds(
    quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OUTPUTS", 10)
    for number in range(100):
        record(quality, said(), output=f"artifact {number}")
    assert len(quality._failed) == 10


async def test_a_version_is_named_like_other_targets(quality: Quality) -> None:
    quality.fits(KEY)
    assert quality.meant(BreakersWanted(target="writer")) == [KEY]
    assert quality.meant(BreakersWanted(target="writer@2*", kind="quality")) == [KEY]
    assert quality.meant(BreakersWanted(target="writer", kind="call")) == []


@given(
    verdicts=st.lists(
        st.tuples(
            st.sampled_from(["contract", "facts", "tone"]), st.booleans(), st.sampled_from([0.0, 1.0, 40.0, 700.0])
        ),
        max_size=80,
    )
)
def test_whatever_gates_say_it_is_never_stuck(verdicts: list[tuple[str, bool, float]]) -> None:
    breaker, now = QualityBreaker(QUALITY, random.Random(0)), 0.0
    for gate, passed, pause in verdicts:
        now += pause
        if breaker.would_admit(now):
            breaker.admit(now, now + 5.0)
        breaker.said(gate, passed=passed, now=now)
        outputs, failed, _ = breaker.counts(now)
        assert 0 <= failed <= outputs
    for _ in range(QUALITY.permits + 2):
        now += 2 * QUALITY.longest
        if breaker.would_admit(now):
            breaker.admit(now, now + 5.0)
        for gate in ("contract", "facts", "tone"):
            breaker.said(gate, passed=True, now=now)
    assert breaker.state == "closed"
