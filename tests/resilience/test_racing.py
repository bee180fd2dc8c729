"""Two attempts at once: the first good answer, and nobody left running."""

from __future__ import annotations

import asyncio

import pytest

from mesh.protocols.ports import Clock
from mesh.resilience.racing import race

pytestmark = pytest.mark.virtual


class Runner:
    """One attempt: how it ended is remembered."""

    def __init__(self, seconds: float, value: str, error: Exception | None = None) -> None:
        self.seconds, self.value, self.error = seconds, value, error
        self.ended = "not begun"

    async def __call__(self) -> str:
        self.ended = "running"
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "done"
        if self.error is not None:
            raise self.error
        return self.value


async def test_a_quick_first_attempt_has_no_second(clock: Clock) -> None:
    first, second = Runner(0.5, "first"), Runner(0.0, "second")
    assert await race(first(), second, 1.0) == "first"
    assert second.ended == "not begun"


async def test_the_first_good_answer_wins_and_the_other_is_stopped(clock: Clock) -> None:
    first, second = Runner(9.0, "first"), Runner(1.0, "second")
    assert await race(first(), second, 1.0) == "second"
    assert (first.ended, clock.monotonic()) == ("cancelled", 2.0)
    first, second = Runner(1.5, "first"), Runner(9.0, "second")
    assert await race(first(), second, 1.0) == "first"
    assert second.ended == "cancelled"


async def test_a_failure_is_no_answer_while_the_other_may_have_one(clock: Clock) -> None:
    assert await race(Runner(1.5, "", ValueError("no"))(), Runner(3.0, "second"), 1.0) == "second"
    assert await race(Runner(5.0, "first")(), Runner(0.1, "", ValueError("no")), 1.0) == "first"


async def test_if_both_fail_it_is_the_first_one_s_failure(clock: Clock) -> None:
    with pytest.raises(ValueError, match="one"):
        await race(Runner(5.0, "", ValueError("one"))(), Runner(0.1, "", ValueError("two")), 1.0)


async def test_there_may_be_no_second_after_all(clock: Clock) -> None:
    assert await race(Runner(5.0, "first")(), lambda: None, 1.0) == "first"


async def test_who_waits_no_more_leaves_nobody_running(clock: Clock) -> None:
    first, second = Runner(9.0, "first"), Runner(9.0, "second")
    racing = asyncio.ensure_future(race(first(), second, 1.0))
    await asyncio.sleep(2.0)
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert (first.ended, second.ended) == ("cancelled", "cancelled")
