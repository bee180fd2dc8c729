"""The server is replaced by another one on the same store: of the next version where an older one can be had.

`make chaos` fetches an older server into the virtual environment; `MESH_OLDER_SERVER` names another one. Without either, the
same version is started again with another configuration, and the table says so.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.client.mesh import Mesh
from mesh.testing.virtual_time import until
from tests.chaos.fleet import Fleet
from tests.chaos.load import asking, in_words, under_load
from tests.chaos.report import spread
from tests.chaos.scenario import Scenario
from tests.faults.expectations import listed, soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

OWNERS, HANDS = ("one", "two"), ("hand", "other-hand")
ANOTHER = ('max_payload: 2MB\nmax_pending: 32MB\nping_interval: "5s"', 'write_deadline: "5s"\nmax_connections: 1000')
"""What is changed in the configuration from one start to the next."""


def older() -> Path | None:
    """The older server, if there is one."""
    named = os.environ.get("MESH_OLDER_SERVER")
    found = Path(named) if named else Path(sys.prefix) / "older" / "bin" / "nats-server"
    return found if found.exists() else None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path / "server", older=older()) as running:
        yield running


async def test_32_the_server_is_upgraded_under_load(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """the server retires (lame duck, SIGTERM) and another one, of another version or configuration, takes over its store · no job fails, everybody is back"""
    before = _version(server)
    await fleet.start(*OWNERS)
    await fleet.start(*HANDS, works=True, drives=False)
    away: list[float] = []
    load = under_load(fleet, mesh, at_once=chaos.pick(2, 4), pause=chaos.pick(0.3, 0.1))
    async with asking(fleet, mesh, pause=chaos.pick(0.1, 0.02)) as asked, load:
        for number in range(chaos.pick(1, 6)):
            await asyncio.sleep(chaos.chance.uniform(0.5, 1.0))
            await asyncio.to_thread(server.retire if chaos.size != "quick" and number % 2 == 0 else server.stop)
            began = time.time()
            server.older, server.more = None, ANOTHER[number % 2]
            await asyncio.to_thread(server.start)
            await soon(lambda: mesh.ask("hand.hand", {"job": "probe", "act": {"key": "back"}}, timeout=2), 60)
            away.append(time.time() - began)
            await listed(mesh, *HANDS, agent="hand", within=60)
            await listed(mesh, *OWNERS, agent="jobs", within=60)
        await until(lambda: "ok" in asked.codes, timeout=60)
    await fleet.over(mesh, within=150)
    after = _version(server)
    done = f"{before} → {after}" if before != after else f"{after} again, with another configuration"
    held = f"no job failed; asks: {in_words(asked)}"
    await chaos.conclude(fleet, server.url, f"{len(away)} servers, {done}", held, recovery=spread(away))
    assert not fleet.mishaps(*OWNERS, *HANDS)


def _version(server: RealServer) -> str:
    """As the latest start says in the log."""
    said = [line.partition("Version:")[2].split()[0] for line in server.log().splitlines() if "Version:" in line]
    return said[-1]
