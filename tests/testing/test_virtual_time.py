from __future__ import annotations

import asyncio
import time

import pytest

from mesh.protocols.ports import Clock, Ids
from mesh.testing.virtual_time import Stalled, VirtualClock, run_virtual


@pytest.mark.virtual
async def test_an_hour_passes_at_once(clock: Clock) -> None:
    started, real = clock.monotonic(), time.monotonic()
    await clock.sleep(3600)
    assert clock.monotonic() - started == pytest.approx(3600)
    assert time.monotonic() - real < 50


@pytest.mark.virtual
async def test_timers_fire_in_order_of_their_time(clock: Clock) -> None:
    fired: list[float] = []

    async def wait(seconds: float) -> None:
        await clock.sleep(seconds)
        fired.append(seconds)

    await asyncio.gather(wait(3), wait(1), wait(2))
    assert fired == [1, 2, 3]


def test_a_wait_that_nobody_ends_is_an_error_that_names_the_place() -> None:
    async def forgotten_wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stalled, match=r"forgotten_wait .*test_virtual_time\.py"):
        run_virtual(forgotten_wait)


def test_a_wait_with_an_end_is_not_a_stall() -> None:
    async def bounded() -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().create_future(), 30)
        return VirtualClock().monotonic()

    assert run_virtual(bounded) == pytest.approx(30)


@pytest.mark.virtual
async def test_time_stands_still_while_a_thread_works(clock: Clock) -> None:
    timer = asyncio.ensure_future(clock.sleep(1))
    before = clock.monotonic()
    await asyncio.to_thread(time.sleep, 0.02)
    assert clock.monotonic() == before
    assert not timer.done()
    await timer


@pytest.mark.virtual
async def test_a_step_of_the_wall_clock_leaves_the_monotonic_clock_alone() -> None:
    clock = VirtualClock()
    now, monotonic = clock.now(), clock.monotonic()
    clock.shift(-3600)
    assert clock.now() == now - 3600
    assert clock.monotonic() == monotonic


@pytest.mark.virtual
async def test_ids_of_a_test_ascend_and_repeat(ids: Ids) -> None:
    drawn = [ids.uuid() for _ in range(100)]
    assert drawn == sorted(set(drawn))
    assert drawn[0][14] == "7"


async def test_an_unmarked_test_runs_on_the_real_loop(clock: Clock) -> None:
    assert abs(clock.now() - time.time()) < 5
