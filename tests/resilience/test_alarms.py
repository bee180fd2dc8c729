"""Alarms share one timer of the loop, and ring as timers of their own would."""

from __future__ import annotations

import asyncio
import random

import pytest

from mesh.protocols.ports import Clock
from mesh.resilience.alarms import FEW, Alarms, alarms

pytestmark = pytest.mark.virtual


async def test_alarms_ring_at_their_time_whatever_the_order_they_were_set_in(clock: Clock) -> None:
    rung: list[tuple[float, float]] = []
    times = [0.5 * number for number in range(1, 40)]
    random.Random(5).shuffle(times)
    start = clock.monotonic()
    for each in times:
        alarms().at(start + each, lambda each=each: rung.append((each, clock.monotonic() - start)))
    await clock.sleep(60)
    assert [at for at, _ in rung] == sorted(times)
    assert all(at == pytest.approx(when) for at, when in rung)


async def test_an_alarm_that_is_called_off_does_not_ring(clock: Clock) -> None:
    rung: list[str] = []
    first = alarms().at(clock.monotonic() + 1, lambda: rung.append("first"))
    alarms().at(clock.monotonic() + 2, lambda: rung.append("second"))
    first.cancel()
    first.cancel()
    await clock.sleep(5)
    assert rung == ["second"]


async def test_an_alarm_that_raises_keeps_no_other_from_ringing(clock: Clock) -> None:
    """It must not, but every deadline of the process is behind it."""
    rung: list[str] = []
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, about: told.append(str(about["exception"])))

    def broken() -> None:
        raise RuntimeError("a bug")

    alarms().at(clock.monotonic() + 1, broken)
    alarms().at(clock.monotonic() + 1, lambda: rung.append("second"))
    alarms().at(clock.monotonic() + 2, lambda: rung.append("third"))
    await clock.sleep(5)
    assert rung == ["second", "third"]
    assert told == ["a bug"]


async def test_an_alarm_in_the_past_rings_in_the_next_turn(clock: Clock) -> None:
    rung = asyncio.Event()
    alarms().at(clock.monotonic() - 5, rung.set)
    assert not rung.is_set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert rung.is_set()


async def test_an_alarm_may_set_and_call_off_others_when_it_rings(clock: Clock) -> None:
    rung: list[str] = []
    now = clock.monotonic()
    later = alarms().at(now + 1, lambda: rung.append("called off by the one before it"))

    def ring() -> None:
        later.cancel()
        alarms().at(now + 3, lambda: rung.append("third"))
        alarms().at(now + 2, lambda: rung.append("second"))

    alarms().at(now + 1 - 1e-6, ring)
    await clock.sleep(10)
    assert rung == ["second", "third"]


async def test_those_called_off_do_not_pile_up(clock: Clock) -> None:
    here = Alarms(asyncio.get_running_loop())
    rung: list[int] = []
    for number in range(50 * FEW):
        alarm = here.at(clock.monotonic() + 30, lambda number=number: rung.append(number))
        if number:
            alarm.cancel()
    assert len(here._waiting) <= 2 * FEW + 2
    await clock.sleep(31)
    assert rung == [0]
    assert not here._waiting


async def test_a_day_is_not_too_far_away(clock: Clock) -> None:
    rung = asyncio.Event()
    alarms().at(clock.monotonic() + 24 * 3600.0, rung.set)
    await clock.sleep(24 * 3600.0 - 1)
    assert not rung.is_set()
    await clock.sleep(1.5)
    assert rung.is_set()
