"""Deadline, retries and budget in one: what is repeated, how often, and when it stops."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mesh.protocols.constraints import Effect
from mesh.protocols.errors import (
    AgentLost,
    BadPayload,
    BreakerOpen,
    DeadlineExceeded,
    Draining,
    Killed,
    MeshError,
    NoResponders,
    Overloaded,
    TimedOut,
    Unavailable,
)
from mesh.protocols.ports import Clock, Ids
from mesh.resilience.budget import RetryBudget
from mesh.resilience.deadline import Deadline
from mesh.resilience.pipeline import repeat

pytestmark = pytest.mark.virtual
NOT_BEGUN = {"begun": False}
Run = Callable[..., Awaitable[str]]


class Attempts:
    """Fails with each of `errors` in turn, then succeeds."""

    def __init__(self, *errors: MeshError) -> None:
        self.errors = list(errors)
        self.made = 0

    async def __call__(self, number: int) -> str:
        self.made += 1
        assert number == self.made
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def protect(
    attempt: Callable[[int], Awaitable[Any]], *, deadline: Deadline, budget: RetryBudget, **about: Any
) -> Any:
    """A first attempt as an ask makes it, then what `repeat` makes of its failure."""
    deadline.check()
    budget.called()
    try:
        return await attempt(1)
    except MeshError as error:
        return await repeat(attempt, error, deadline=deadline, budget=budget, **about)


@pytest.fixture
def run(clock: Clock, ids: Ids) -> Run:
    async def run(
        attempts: Attempts, *, seconds: float = 10.0, effect: Effect = "costly", budget: RetryBudget | None = None
    ) -> str:
        return await protect(
            attempts,
            deadline=Deadline.after(clock, seconds),
            clock=clock,
            source=ids.random,
            budget=budget or RetryBudget(),
            effect=effect,
        )

    return run


@pytest.mark.parametrize("kind", [NoResponders, Overloaded, Draining])
async def test_work_that_was_certainly_not_begun_is_tried_again(run: Run, kind: type[MeshError]) -> None:
    attempts = Attempts(kind("x", detail=NOT_BEGUN), kind("x", detail=NOT_BEGUN))
    assert await run(attempts) == "done"
    assert attempts.made == 3


@pytest.mark.parametrize("kind", [TimedOut, Unavailable, AgentLost, Overloaded])
async def test_work_that_may_have_been_begun_is_not_unless_that_is_harmless(run: Run, kind: type[MeshError]) -> None:
    with pytest.raises(kind):
        await run(Attempts(kind("x")))
    assert await run(Attempts(kind("x")), effect="pure") == "done"
    assert await run(Attempts(kind("x")), effect="idempotent") == "done"


@pytest.mark.parametrize(
    "error",
    [
        BadPayload("x", detail=NOT_BEGUN),
        BreakerOpen("x", detail=NOT_BEGUN),
        Killed("x", detail=NOT_BEGUN),
        Overloaded("x", detail={"retried": 3}),
    ],
)
async def test_what_cannot_help_is_never_repeated(run: Run, error: MeshError) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        await run(attempts, effect="pure")
    assert attempts.made == 1


async def test_three_attempts_are_all(run: Run) -> None:
    attempts = Attempts(*(NoResponders(str(number), detail=NOT_BEGUN) for number in range(9)))
    with pytest.raises(NoResponders, match="2"):
        await run(attempts)
    assert attempts.made == 3


async def test_retry_after_is_honoured(run: Run, clock: Clock) -> None:
    await run(Attempts(Overloaded("x", retry_after=4.0, detail=NOT_BEGUN)))
    assert 4.0 <= clock.monotonic() <= 4.1


async def test_no_retry_is_begun_that_the_deadline_would_cut_off(run: Run, clock: Clock) -> None:
    with pytest.raises(Overloaded):
        await run(Attempts(Overloaded("x", retry_after=4.0, detail=NOT_BEGUN)), seconds=3.0)
    assert clock.monotonic() == 0.0


async def test_a_passed_deadline_makes_no_attempt_at_all(run: Run) -> None:
    attempts = Attempts()
    with pytest.raises(DeadlineExceeded):
        await run(attempts, seconds=0.0)
    assert attempts.made == 0


async def test_a_timeout_at_the_deadline_is_the_deadline(clock: Clock, ids: Ids) -> None:
    async def attempt(_: int) -> None:
        await clock.sleep(2.0)
        raise TimedOut("silence")

    with pytest.raises(DeadlineExceeded, match="silence") as caught:
        await protect(
            attempt, deadline=Deadline.after(clock, 2.0), clock=clock, source=ids.random, budget=RetryBudget()
        )
    assert isinstance(caught.value.__cause__, TimedOut)


async def test_retries_are_at_most_a_tenth_of_the_calls(run: Run) -> None:
    budget, retries = RetryBudget(), 0
    for _ in range(1000):
        attempts = Attempts(NoResponders("x", detail=NOT_BEGUN))
        with contextlib.suppress(NoResponders):
            await run(attempts, budget=budget)
        retries += attempts.made - 1
    assert 100 <= retries <= 104
