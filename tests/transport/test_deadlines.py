"""One timer for all questions."""

from __future__ import annotations

import asyncio
import random

import pytest

from mesh.protocols.ports import Clock
from mesh.transport.nats.deadlines import TICKS, Deadlines

pytestmark = pytest.mark.virtual


async def test_everybody_waits_as_long_as_was_asked_for_and_no_more_than_a_tick_longer(clock: Clock) -> None:
    rung: dict[bytes, float] = {}
    deadlines = Deadlines(lambda token: rung.update({token: clock.monotonic()}))
    start = clock.monotonic()
    waits = [0.0, 0.05, 7.0, *(number / 7 for number in range(1, 30))]
    random.Random(3).shuffle(waits)
    for number, wait in enumerate(waits):
        deadlines.add(asyncio.get_running_loop(), b"%d" % number, wait)
    await clock.sleep(10)
    assert len(rung) == len(waits)
    for number, wait in enumerate(waits):
        assert -1e-6 <= rung[b"%d" % number] - start - wait <= 1 / TICKS + 1e-6


async def test_who_was_answered_is_not_rung_and_wakes_nobody(clock: Clock) -> None:
    rung: list[bytes] = []
    deadlines = Deadlines(rung.append)
    deadlines.add(asyncio.get_running_loop(), b"answered", 1.0).discard(b"answered")
    deadlines.add(asyncio.get_running_loop(), b"waiting", 3.0)
    await clock.sleep(2)
    assert rung == []
    await clock.sleep(2)
    assert rung == [b"waiting"]


async def test_an_earlier_deadline_set_later_rings_first(clock: Clock) -> None:
    rung: list[bytes] = []
    deadlines = Deadlines(rung.append)
    deadlines.add(asyncio.get_running_loop(), b"late", 5.0)
    deadlines.add(asyncio.get_running_loop(), b"early", 1.0)
    await clock.sleep(2)
    assert rung == [b"early"]
    await clock.sleep(4)
    assert rung == [b"early", b"late"]


async def test_after_clearing_nobody_is_rung(clock: Clock) -> None:
    rung: list[bytes] = []
    deadlines = Deadlines(rung.append)
    deadlines.add(asyncio.get_running_loop(), b"a", 1.0)
    deadlines.clear()
    await clock.sleep(2)
    deadlines.add(asyncio.get_running_loop(), b"b", 1.0)
    await clock.sleep(2)
    assert rung == [b"b"]
