"""One agent takes all the memory, or all the files, that its process may have."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.client.mesh import Mesh
from mesh.protocols.errors import Transient
from tests.chaos.fleet import Fleet
from tests.chaos.glutton import FOLDER, Greed
from tests.chaos.household import Household
from tests.chaos.load import under_load
from tests.chaos.report import spread
from tests.chaos.scenario import Scenario
from tests.faults.expectations import listed, passes, soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

MANIFEST = """
[host]
hung_after = 3.0
restarts = { crashes = 100 }
[[agents]]
use = "tests.chaos.glutton:Glutton"
instances = 2
limits = { memory = "600MB", open_files = 100 }
"""
BACK_WITHIN = 60.0


@pytest.fixture
async def household(server: RealServer, tmp_path: Path) -> AsyncIterator[Household]:
    household = Household(server.url, tmp_path, "house", MANIFEST, **{FOLDER: str(tmp_path)})
    await household.up()
    yield household
    household.end()


@pytest.mark.parametrize("greed", [pytest.param("memory", id="26-memory"), pytest.param("files", id="27-files")])
async def test_an_agent_takes_all_that_there_is(
    chaos: Scenario, server: RealServer, fleet: Fleet, household: Household, mesh: Mesh, greed: Greed
) -> None:
    """an agent takes all the memory (files) its process may have · it dies or refuses, its host brings it back, nothing acknowledged is lost"""
    chaos.number = 26 if greed == "memory" else 27
    chaos.fault = f"an agent takes all the {'memory' if greed == 'memory' else 'open files'} that its process may have"
    gluttons = [f"house-glutton-{number}" for number in (1, 2)]
    await fleet.start("owner")
    await listed(mesh, *gluttons, agent="glutton", within=BACK_WITHIN)
    back = []
    async with under_load(fleet, mesh, at_once=chaos.pick(2, 4), pause=chaos.pick(0.3, 0.1)):
        for number in range(chaos.pick(1, 8)):
            victim = f"glutton.{number % 2 + 1}"
            before = await soon(lambda victim=victim: mesh.ask(victim, command="pid"), BACK_WITHIN)
            began = time.time()
            with pytest.raises(Transient):
                await mesh.ask(victim, {"what": greed}, command="take", timeout=60)
            await passes(
                lambda victim=victim: soon(lambda: mesh.ask(victim, command="pid"), BACK_WITHIN),
                lambda pid, before=before: pid != before,
                within=BACK_WITHIN,
            )
            back.append(time.time() - began)
    await fleet.over(mesh, within=120)
    await chaos.conclude(
        fleet, server.url, f"{len(back)} times all of it", "refused or dead, back, nothing lost", recovery=spread(back)
    )
