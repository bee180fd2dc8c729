"""Hundreds come and go, and some of them die, while everybody else works."""

from __future__ import annotations

import asyncio
import time

import pytest

from mesh.client.mesh import Mesh
from tests.chaos.callers import Tallied
from tests.chaos.crowd import Crowd
from tests.chaos.report import spread
from tests.chaos.scenario import Scenario
from tests.faults.expectations import listed, soon

pytestmark = [pytest.mark.server, pytest.mark.fault]

WITHIN = 90.0
LOAD = {"target": "target.do", "callers": 20, "timeout": 30.0, "pause": 0.2}


async def test_33_hundreds_come_and_go(chaos: Scenario, crowd: Crowd, mesh: Mesh) -> None:
    """200 places in the mesh are taken and left, or die with their process, again and again, under load · who stays is always found and served, every directory is right in the end"""
    inns = [f"inn-{number}" for number in range(chaos.pick(2, 4))]
    each = chaos.pick(8, 50)
    await crowd.start("target")
    await crowd.start("caller", roles=("caller",))
    await crowd.start("onlooker", roles=("listener",))
    await crowd.start(*inns, roles=("inn",))
    await listed(mesh, "target", agent="target", within=WITHIN)
    await soon(lambda: mesh.ask("caller.caller", LOAD, command="begin"))
    there: dict[str, list[str]] = {inn: [] for inn in inns}
    settled: list[float] = []
    for number in range(chaos.pick(2, 6)):
        await asyncio.gather(*(_come_and_go(mesh, inn, there, each) for inn in inns))
        began = time.time()
        if number % 2:
            doomed = chaos.chance.choice(inns)
            crowd.kill(doomed)
            there[doomed] = []
        await listed(mesh, *(guest for guests in there.values() for guest in guests), agent="guest", within=WITHIN)
        guests = sorted(guest for guests in there.values() for guest in guests)
        assert await soon(
            lambda guests=guests: mesh.ask(
                "listener", {"agent": "guest", "processes": guests}, command="knows", timeout=WITHIN
            ),
            WITHIN,
        )
        settled.append(time.time() - began)
        await crowd.start(*(inn for inn in inns if not crowd.alive(inn)), roles=("inn",))
    served = await mesh.ask("caller.caller", command="end", returns=Tallied, timeout=WITHIN)
    assert set(served.codes) == {"ok"}, served
    assert not crowd.mishaps("target", "caller", "onlooker", *inns)
    done = f"{len(settled)} times {each * len(inns)} came, and half of them went, or an inn died"
    chaos.note(
        done, f"{served.calls} calls of the others served, every directory right", f"known to all: {spread(settled)}"
    )


async def _come_and_go(mesh: Mesh, inn: str, there: dict[str, list[str]], count: int) -> None:
    """New guests come, and half of those that are there leave; all at once, in every inn."""
    come = {"count": count - len(there[inn])}
    there[inn] += await soon(lambda: mesh.ask(f"inn.{inn}", come, command="come", timeout=WITHIN), WITHIN)
    going, there[inn] = there[inn][: count // 2], there[inn][count // 2 :]
    await soon(lambda: mesh.ask(f"inn.{inn}", {"names": going}, command="go", timeout=WITHIN), WITHIN)
