"""A process that reads nothing any more, while everybody else talks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from mesh.client.mesh import Mesh
from mesh.testing.virtual_time import until
from tests.chaos.crowd import Crowd
from tests.chaos.report import spread
from tests.chaos.scenario import Scenario
from tests.faults.expectations import listed, soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

IMPATIENT = 'max_pending: 4MB\nwrite_deadline: "2s"'
"""How much the server keeps for whoever does not read, and for how long it tries to write."""
LARGE = "x" * 50_000
MOST_EVENTS = 4000
"""Two hundred megabytes."""
BACK_WITHIN = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path / "server", more=IMPATIENT) as running:
        yield running


async def test_24_a_process_reads_no_more(chaos: Scenario, server: RealServer, crowd: Crowd, mesh: Mesh) -> None:
    """a process that does not read: SIGSTOP, or a blocked loop · the server cuts it off, others hear everything, it comes back and is right"""
    await crowd.start("slow", "brisk", roles=("target", "listener"))
    await crowd.start("other-0")
    await listed(mesh, "slow", "brisk", "other-0", agent="target")
    back = []
    for number in range(chaos.pick(1, 6)):
        cuts = _cuts(server)
        go_on = await _stop_reading(crowd, mesh, "frozen" if number % 2 == 0 else f"blocked-{number}")
        await mesh.emit("said.kept", str(number))
        await _flood_until_cut(server, mesh, cuts)
        await _others_are_served(crowd, mesh, number)
        await _somebody_comes_and_somebody_goes(crowd, mesh, number)
        began = time.time()
        await go_on()
        await _back_and_right(crowd, mesh, number)
        back.append(time.time() - began)
    assert not crowd.mishaps("slow", "brisk")
    chaos.note(f"{len(back)} times cut off as a slow consumer", "others unaffected, back and right", spread(back))


def _cuts(server: RealServer) -> int:
    """How often the server has cut somebody off for not reading."""
    return server.log().count("Slow Consumer Detected")


async def _stop_reading(crowd: Crowd, mesh: Mesh, way: str) -> Callable[[], Awaitable[None]]:
    """The process reads nothing from now on, until what this gives is called: it thaws, or its loop is free again."""
    if way == "frozen":
        await crowd.freeze("slow")

        async def thaw() -> None:
            crowd.thaw("slow")

        return thaw
    await mesh.tell("target.slow", {"name": way}, command="block")
    await until((crowd.folder / way).exists)

    async def let_go() -> None:
        crowd.let(way)

    return let_go


async def _flood_until_cut(server: RealServer, mesh: Mesh, cuts: int) -> int:
    """Live events for all listeners, at the pace of those who read; how many it took."""
    sent = 0
    while _cuts(server) == cuts:
        assert sent < MOST_EVENTS, "the server goes on filling its memory for somebody who does not read"
        for _ in range(20):
            await mesh.emit("said.live", LARGE, stored=False)
        sent += 20
        assert await soon(lambda: mesh.ask("target.brisk", "x", command="echo")) == "x"
    return sent


async def _others_are_served(crowd: Crowd, mesh: Mesh, number: int) -> None:
    """Who reads hears what is live, and has the stored event, even if the slow one had taken it in hand."""
    await _hears(crowd, mesh, "brisk", f"after-{number}")
    await until(lambda: bool(crowd.books("brisk").read(f"kept-{number}")), timeout=BACK_WITHIN)


async def _somebody_comes_and_somebody_goes(crowd: Crowd, mesh: Mesh, number: int) -> None:
    """What the slow one's directory has to catch up with."""
    crowd.kill(f"other-{number}")
    await crowd.start(f"other-{number + 1}")
    await listed(mesh, "brisk", f"other-{number + 1}", agent="target")


async def _back_and_right(crowd: Crowd, mesh: Mesh, number: int) -> None:
    """Listed, served by it, hearing live events and knowing who is there."""
    there = ["brisk", f"other-{number + 1}", "slow"]
    await soon(lambda: mesh.ask("target.slow", "x", command="echo"), BACK_WITHIN)
    await listed(mesh, *there, agent="target")
    await _hears(crowd, mesh, "slow", f"back-{number}")
    assert await soon(
        lambda: mesh.ask("listener.slow", {"agent": "target", "processes": there}, command="knows"), BACK_WITHIN
    )


async def _hears(crowd: Crowd, mesh: Mesh, name: str, word: str) -> None:
    """Say it until it is heard: live events are heard now or never."""
    async with asyncio.timeout(BACK_WITHIN):
        while not crowd.books(name).read(f"live-{word}"):
            await mesh.emit("said.live", word, stored=False)
            await asyncio.sleep(0.05)
