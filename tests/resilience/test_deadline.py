"""A deadline is absolute, only narrows, and ends what waits."""

from __future__ import annotations

import asyncio

import pytest

from mesh.protocols.errors import DeadlineExceeded
from mesh.protocols.ports import Clock
from mesh.resilience.deadline import Deadline

pytestmark = pytest.mark.virtual


async def test_time_passes(clock: Clock) -> None:
    deadline = Deadline.after(clock, 2.0)
    await clock.sleep(1.5)
    assert deadline.remaining() == pytest.approx(0.5)
    assert not deadline.expired
    await clock.sleep(0.5)
    assert deadline.expired


async def test_a_child_never_gets_more_time_than_its_parent(clock: Clock) -> None:
    parent = Deadline.after(clock, 2.0)
    assert parent.narrow(5.0) is parent
    assert parent.narrow(None) is parent
    assert parent.narrow(0.5).remaining() == pytest.approx(0.5)


async def test_enforcement_cancels_the_body_in_time(clock: Clock) -> None:
    with pytest.raises(DeadlineExceeded, match="the nap"):
        async with Deadline.after(clock, 1.0).enforce("the nap"):
            await clock.sleep(60)
    assert clock.monotonic() == pytest.approx(1.0)


async def test_a_timeout_of_the_body_itself_stays_what_it_is(clock: Clock) -> None:
    with pytest.raises(TimeoutError):
        async with Deadline.after(clock, 5.0).enforce():
            raise TimeoutError


async def test_a_cancellation_from_outside_stays_a_cancellation(clock: Clock) -> None:
    async def nap() -> None:
        async with Deadline.after(clock, 5.0).enforce():
            await clock.sleep(60)

    task = asyncio.ensure_future(nap())
    await clock.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_is_begun_after_the_deadline(clock: Clock) -> None:
    with pytest.raises(DeadlineExceeded, match="before the work could start"):
        Deadline.after(clock, 0.0).check()


async def test_a_cancellation_that_meets_the_deadline_stays_a_cancellation(clock: Clock) -> None:
    async def nap() -> None:
        async with Deadline.after(clock, 1.0).enforce():
            try:
                await clock.sleep(60)
            finally:
                await clock.sleep(5)

    task = asyncio.ensure_future(nap())
    await clock.sleep(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_the_body_raises_when_its_time_is_up_stays_what_it_is(clock: Clock) -> None:
    async def nap() -> None:
        try:
            await clock.sleep(60)
        finally:
            raise KeyError("its own")

    with pytest.raises(KeyError):
        async with Deadline.after(clock, 1.0).enforce():
            await nap()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_deadline_inside_another_leaves_the_outer_one_in_force(clock: Clock) -> None:
    async def two_naps() -> None:
        with pytest.raises(DeadlineExceeded, match="the inner"):
            async with Deadline.after(clock, 1.0).enforce("the inner"):
                await clock.sleep(60)
        await clock.sleep(60)

    with pytest.raises(DeadlineExceeded, match="the outer"):
        async with Deadline.after(clock, 2.0).enforce("the outer"):
            await two_naps()
    assert clock.monotonic() == pytest.approx(2.0)


async def test_a_body_that_ends_in_the_turn_of_its_deadline_has_met_it_or_not_but_nobody_is_cancelled(
    clock: Clock,
) -> None:
    for _ in range(3):
        try:
            async with Deadline.after(clock, 1.0).enforce():
                await clock.sleep(1.0)
        except DeadlineExceeded:
            pass
        await clock.sleep(0.1)
