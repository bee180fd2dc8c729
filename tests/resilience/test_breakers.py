"""The breakers of a process: what counts is the target's fault only, and everybody concerned is told."""

from __future__ import annotations

import asyncio

import pytest

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
from mesh.resilience.breakers import Breakers, verdict

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
    assert verdict(kind("x")) == ("failure" if kind.blame == "target" else "ignored")


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
    told: list[tuple[tuple[str, str], str, str]] = []
    breakers.on_change(lambda key, state, reason: told.append((key, state, reason)))
    fail(breakers, TimedOut())
    assert [(key, state) for key, state, _ in told] == [(("a.b.c", "do"), "open")]
    assert breakers.open() == ("a.b.c do",)
    (row,) = breakers.rows()
    assert (row.target, row.capability, row.state) == ("a.b.c", "do", "open")
    assert row.retry_in is not None
    await clock.sleep(5)
    assert breakers.open() == ()


async def test_the_kill_switch_holds_until_it_is_released(breakers: Breakers, clock: Clock) -> None:
    breakers.force("a.b.c", "do", "incident 7")
    await clock.sleep(10_000)
    with pytest.raises(BreakerOpen, match="incident 7"), breakers.guard("a.b.c", "do"):
        pytest.fail("it must not be called")
    breakers.release("a.b.c", "do")
    with breakers.guard("a.b.c", "do"):
        pass


async def test_only_breakers_that_are_not_closed_need_be_asked(breakers: Breakers, clock: Clock) -> None:
    assert not breakers.troubled
    fail(breakers, HandlerFailed("no"))
    assert list(breakers.troubled) == [("a.b.c", "do")]
    assert breakers.open() == ("a.b.c do",)
    await clock.sleep(5)
    assert breakers.open() == (), "its time is over: it lets a trial call through"
    for _ in range(breakers.policy.permits):
        with breakers.guard("a.b.c", "do"):
            pass
    assert not breakers.troubled
