"""The breakers of a process: what counts is the target's fault only, and everybody concerned is told."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from mesh.protocols.breaker_rows import BreakersWanted, Passage
from mesh.protocols.errors import (
    BadPayload,
    BreakerOpen,
    Cancelled,
    DeadlineExceeded,
    HandlerFailed,
    MeshError,
    Overloaded,
    TimedOut,
    every_error,
)
from mesh.protocols.ports import Clock, Ids
from mesh.resilience.breakers import REPEATABLE_FIRST, VOTE, Breakers
from mesh.resilience.outcome import outcome

pytestmark = pytest.mark.virtual


@pytest.fixture
def breakers(clock: Clock, ids: Ids) -> Breakers:
    return Breakers(clock, ids.random)


def fail(breakers: Breakers, error: BaseException, times: int = 3) -> None:
    for _ in range(times):
        with pytest.raises(type(error)), breakers.guard("a.b.c", "do"):
            raise error


async def test_the_targets_failures_open_its_breaker_and_no_other(breakers: Breakers) -> None:
    fail(breakers, HandlerFailed("no"))
    assert not breakers.allows("a.b.c", "do")
    assert breakers.allows("a.b.c", "something-else")
    assert breakers.allows("a.b.d", "do")
    with pytest.raises(BreakerOpen), breakers.guard("a.b.c", "do"):
        pytest.fail("it must not be called")


@pytest.mark.parametrize(
    "error", [BadPayload(), Overloaded(), Cancelled(), DeadlineExceeded(), asyncio.CancelledError()]
)
async def test_callers_errors_and_cancellations_do_not_count(breakers: Breakers, error: BaseException) -> None:
    fail(breakers, error, times=50)
    assert breakers.allows("a.b.c", "do")


@pytest.mark.parametrize("kind", list(every_error()))
def test_every_error_counts_by_its_blame(kind: type[MeshError]) -> None:
    assert outcome(kind("x")) == ("failure" if kind.blame == "target" else "ignored")


async def test_what_is_slow_is_measured_against_the_capabilitys_own_timeout(breakers: Breakers, clock: Clock) -> None:
    for _ in range(20):
        with breakers.guard("slow", "think", timeout=30.0):
            await clock.sleep(5.0)
    for _ in range(20):
        with breakers.guard("slow", "add", timeout=1.0):
            await clock.sleep(0.9)
    assert breakers.allows("slow", "think")
    assert not breakers.allows("slow", "add")


async def test_a_change_is_told_and_listed(breakers: Breakers, clock: Clock) -> None:
    told: list[tuple[tuple[str, str], Passage]] = []
    breakers.on_change(lambda key, passage: told.append((key, passage)))
    fail(breakers, TimedOut())
    ((key, passage),) = told
    assert key == ("a.b.c", "do")
    assert (passage.was, passage.state, passage.why) == ("closed", "open", "the last 3 calls failed")
    opened, retry_at = clock.now(), breakers.of("a.b.c", "do").retry_at
    await clock.sleep(0.1)
    (row,) = breakers.rows(history=True)
    assert (row.kind, row.target, row.capability, row.state) == ("call", "a.b.c", "do", "open")
    assert row.retry_in == pytest.approx(retry_at - clock.monotonic())
    assert row.permits is None
    assert [each.at for each in row.history] == [pytest.approx(opened, abs=1e-3)], "in Unix time"
    assert breakers.rows()[0].history == ()


async def test_the_kill_switch_holds_until_it_is_released(breakers: Breakers, clock: Clock) -> None:
    breakers.force("a.b.c", "do", "incident 7", "ann@desk")
    await clock.sleep(10_000)
    with pytest.raises(BreakerOpen, match="incident 7"), breakers.guard("a.b.c", "do"):
        pytest.fail("it must not be called")
    assert [row.by for row in breakers.rows()] == ["ann@desk"]
    breakers.release("a.b.c", "do", "bob@desk")
    with breakers.guard("a.b.c", "do"):
        pass
    (row,) = breakers.rows(history=True)
    assert [(each.state, each.by) for each in row.history] == [("forced-open", "ann@desk"), ("closed", "bob@desk")]


async def test_only_breakers_that_are_not_closed_need_be_asked(breakers: Breakers, clock: Clock) -> None:
    assert not breakers.troubled
    fail(breakers, HandlerFailed("no"))
    assert list(breakers.troubled) == [("a.b.c", "do")]
    await clock.sleep(5)
    for _ in range(breakers.policy.permits):
        with breakers.guard("a.b.c", "do"):
            pass
    assert not breakers.troubled


async def test_a_vote_lasts_until_the_breaker_closes(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, HandlerFailed("no"))
    assert breakers.votes() == ("a.b.c do",)
    await clock.sleep(5)
    assert breakers.votes() == ("a.b.c do",), "that its time is over proves nothing"
    with breakers.guard("a.b.c", "do"):
        assert breakers.votes() == ("a.b.c do",), "nor that somebody tries"
    for _ in range(breakers.policy.permits - 1):
        with breakers.guard("a.b.c", "do"):
            pass
    assert breakers.votes() == ()


async def test_a_vote_lapses_when_nobody_here_makes_use_of_the_trial_calls(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, HandlerFailed("no"))
    due = breakers.lapse_at()
    assert due is not None
    await clock.sleep(due - clock.monotonic())
    assert breakers.votes() == ()
    assert breakers.rows()[0].state == "open", "it is not closed blindly"
    assert due <= VOTE + 1.2


async def test_what_a_person_forced_open_is_no_vote(breakers: Breakers) -> None:
    breakers.force("a.b.c", "do", "incident 7")
    assert breakers.votes() == ()
    assert breakers.lapse_at() is None


async def test_trial_calls_are_left_to_work_that_may_be_repeated_at_first(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, HandlerFailed("no"))
    assert not breakers.due("a.b.c", "do", repeatable=True)
    await clock.sleep(2)
    assert breakers.due("a.b.c", "do", repeatable=True)
    assert not breakers.due("a.b.c", "do", repeatable=False)
    await clock.sleep(REPEATABLE_FIRST)
    assert breakers.due("a.b.c", "do", repeatable=False)
    with ExitStack() as stack:
        for _ in range(breakers.policy.permits):
            stack.enter_context(breakers.guard("a.b.c", "do"))
        assert not breakers.due("a.b.c", "do", repeatable=True)
    assert not breakers.due("a.b.c", "other", repeatable=True)


async def test_more_breakers_than_the_limit_are_not_kept_and_the_troubled_go_last(
    breakers: Breakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.resilience.breakers.LIMIT", 3)
    breakers.force("forced", "do", "incident 7")
    fail(breakers, HandlerFailed("no"))
    for number in range(5):
        breakers.of(f"a.b.{number}", "do")
    assert [row.target for row in breakers.rows()] == ["a.b.4", "a.b.c", "forced"]
    breakers.forget("a.b.c")
    assert list(breakers.troubled) == [("forced", "do")]


@pytest.mark.parametrize(
    ("target", "capability", "found"),
    [
        ("reviewer", "", ["one.reviewer.a", "two.reviewer.b"]),
        ("reviewer.a", "", ["one.reviewer.a"]),
        ("one.reviewer.a", "review.*", ["one.reviewer.a"]),
        ("one.*", "", ["one.reviewer.a", "one.writer.w"]),
        ("*.reviewer.*", "", ["one.reviewer.a", "two.reviewer.b"]),
        ("", "write", ["one.writer.w"]),
        ("nobody", "", []),
    ],
)
async def test_breakers_are_named_by_agent_instance_or_key(
    breakers: Breakers, target: str, capability: str, found: list[str]
) -> None:
    for key, what in (("one.reviewer.a", "review.code"), ("two.reviewer.b", "review.code"), ("one.writer.w", "write")):
        breakers.of(key, what)
    assert [key for key, _ in breakers.meant(BreakersWanted(target=target, capability=capability))] == found


async def test_what_a_call_comes_to_after_its_target_was_forgotten_is_told_nobody(
    breakers: Breakers, clock: Clock
) -> None:
    """The target has left the mesh while a trial call was under way; another may come under its name."""
    told: list[list[str]] = []
    breakers.on_change(lambda key, passage: told.append([row.state for row in breakers.rows([key])]))
    fail(breakers, TimedOut())
    old = breakers.of("a.b.c", "do")
    await clock.sleep(old.retry_at - clock.monotonic())
    permit = old.admit(clock.monotonic())
    breakers.forget("a.b.c")
    assert told.pop() == ["half-open"]
    old.record(permit, "failure", 0.0, clock.monotonic())
    assert told == [["open"]], "of its opening, long ago"
    assert breakers.of("a.b.c", "do").state == "closed"
    old.force("for whoever still has it", clock.monotonic())
    assert not breakers.troubled, "the breaker of its successor is closed"
