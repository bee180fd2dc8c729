"""Five agents in a row, and the last one is ill: whoever asked hears of it in time, and nobody in between falls ill of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.errors import DeadlineExceeded, MeshError, Transient
from mesh.testing.virtual_time import until
from tests.chaos.books import Line, running
from tests.chaos.crowd import Crowd
from tests.chaos.report import spread
from tests.chaos.scenario import Scenario
from tests.faults.expectations import listed, outcomes, soon

pytestmark = [pytest.mark.server, pytest.mark.fault]

CHAIN = "abcde"
FIRST_DEADLINE = 1.5
"""Seconds that whoever asks the first one waits. The commands themselves may take ten minutes."""
RESERVE = 3
"""Retries that a quiet hop may make beyond a tenth of its calls."""
AFTERWARDS = 60.0
"""Seconds within which everything must have ended: a busy machine's worth, and every breaker's open time."""


async def test_23_the_last_of_five_agents_is_ill(chaos: Scenario, crowd: Crowd, mesh: Mesh) -> None:
    """a → b → c → d → e, and e hangs, is frozen, or fails · all end by the first deadline, nothing is left running, others are served"""
    callers = chaos.pick(30, 300)
    await crowd.start(*CHAIN, roles=("link",))
    for each in CHAIN:
        await listed(mesh, each, agent=each)
    assert await soon(lambda: _ask(mesh, AFTERWARDS), AFTERWARDS) == "e"  # each must have heard of the next
    back = []
    for way in chaos.pick(("hangs", "frozen"), ("hangs", "frozen", "fails", "hangs", "frozen", "fails")):
        began = time.time()
        await _fall_ill(crowd, way)
        found = await _while_others_are_served(mesh, callers)
        assert all(isinstance(each, DeadlineExceeded | Transient) for each in found), Counter(map(repr, found))
        assert len(_begun(crowd, "e", began)) <= 1.1 * callers + RESERVE * len(CHAIN), "each hop has repeated it"
        well_again = time.time()
        await _get_well(crowd, way)
        await _all_quiet(crowd, mesh)
        await _served_again(mesh)
        back.append(time.time() - well_again)
    assert not crowd.mishaps(*CHAIN)
    chaos.note(f"{callers} callers through five agents", "all ended, nothing left, others served", spread(back))


async def _fall_ill(crowd: Crowd, way: str) -> None:
    if way == "frozen":
        await crowd.freeze("e")
    else:
        crowd.mood("e", "hangs" if way == "hangs" else "fails")


async def _get_well(crowd: Crowd, way: str) -> None:
    if way == "frozen":
        crowd.thaw("e")
    crowd.mood("e", "well")


def _begun(crowd: Crowd, agent: str, since: float) -> list[Line]:
    return [each for each in crowd.books(agent).read("pass_on", since=since) if each.sign == "+"]


async def _served_again(mesh: Mesh) -> None:
    """Until every breaker on the way has closed: each lets three through before it does."""
    for _ in range(4):
        await soon(lambda: _ask(mesh, AFTERWARDS), AFTERWARDS)


async def _ask(mesh: Mesh, within: float = FIRST_DEADLINE) -> str:
    return str(await mesh.ask("a", {"to": list(CHAIN[1:])}, command="pass_on", timeout=within))


async def _while_others_are_served(mesh: Mesh, callers: int) -> list[MeshError]:
    """What came of the callers, while b, c and d do other things."""
    asked = [asyncio.ensure_future(_ask(mesh)) for _ in range(callers)]
    for agent in "bcd":
        assert (
            await soon(lambda agent=agent: mesh.ask(agent, "x", command="echo", timeout=AFTERWARDS), AFTERWARDS) == "x"
        )
    async with asyncio.timeout(FIRST_DEADLINE + AFTERWARDS):
        return await outcomes(asked)


async def _all_quiet(crowd: Crowd, mesh: Mesh) -> None:
    """Nothing runs and nothing waits anywhere, as the handlers and as the directory say."""
    await until(lambda: all(running(crowd.books(each).read()) == 0 for each in CHAIN), timeout=AFTERWARDS)
    await until(lambda: all(_load(mesh, each) == 0 for each in CHAIN), timeout=AFTERWARDS)


def _load(mesh: Mesh, agent: str) -> int:
    return sum(each.figures.queue + each.figures.running for each in mesh.directory.instances(agent))
