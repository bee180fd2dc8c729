"""Jobs over which owners were lost are driven one at a time: the one that kills does not take the others with it for ever."""

from __future__ import annotations

import asyncio

import pytest

from mesh.jobs.owning.quarantine import LONGEST, Quarantine

pytestmark = pytest.mark.virtual


async def test_a_suspect_waits_until_the_one_before_it_has_left() -> None:
    quarantine = Quarantine()
    leave = await quarantine.enter()
    second = asyncio.ensure_future(quarantine.enter())
    await asyncio.sleep(LONGEST / 2)
    assert not second.done()
    leave()
    leave()
    await asyncio.wait_for(second, 1)
    third = asyncio.ensure_future(quarantine.enter())
    await asyncio.sleep(1)
    assert not third.done()
    third.cancel()


async def test_it_does_not_wait_for_ever() -> None:
    quarantine = Quarantine()
    leave = await quarantine.enter()
    after = await asyncio.wait_for(quarantine.enter(), LONGEST + 1)
    leave()
    third = asyncio.ensure_future(quarantine.enter())
    await asyncio.sleep(1)
    assert not third.done()
    after()
    await asyncio.wait_for(third, 1)


async def test_who_gives_up_waiting_leaves_no_trace() -> None:
    quarantine = Quarantine()
    leave = await quarantine.enter()
    second = asyncio.ensure_future(quarantine.enter())
    await asyncio.sleep(1)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    leave()
    await asyncio.wait_for(quarantine.enter(), 1)
