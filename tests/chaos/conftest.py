"""What every scenario starts with: a seed that is printed, a server, a fleet, a client; and the table at the end.

`CHAOS=quick|full|soak` says how much is done, `CHAOS_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh.client.mesh import Mesh
from tests.chaos.crowd import Crowd
from tests.chaos.fleet import Fleet
from tests.chaos.report import Row, table
from tests.chaos.scenario import SIZE, Scenario
from tests.cluster import Cluster
from tests.faults.expectations import joined
from tests.servers import RealServer

ROWS: list[Row] = []
HERE = Path(__file__).parent
QUICK_WITHIN = 360


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Scenario:
    """This scenario: its number from the test's name, its fault from the docstring."""
    number = re.search(r"\d+", request.node.name)
    assert number, "a scenario is called test_<number>_…"
    assert request.function.__doc__, "a scenario says: fault · what must hold"
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"[{number[0]}] seed {seed} (repeat with CHAOS_SEED={seed})")  # noqa: T201 - shown when it fails
    fault = request.function.__doc__.partition("·")[0].strip()
    return Scenario(int(number[0]), " ".join(fault.split()), seed, SIZE, ROWS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path / "server") as running:
        yield running


@pytest.fixture
def fleet(server: RealServer, tmp_path: Path, chaos: Scenario) -> Iterator[Fleet]:
    fleet = Fleet(server.url, tmp_path, chaos.chance)
    yield fleet
    fleet.end()


@pytest.fixture
def crowd(server: RealServer, tmp_path: Path) -> Iterator[Crowd]:
    crowd = Crowd(server.url, tmp_path)
    yield crowd
    crowd.end()


@pytest.fixture
async def mesh(server: RealServer) -> AsyncIterator[Mesh]:
    """Whoever hands jobs in."""
    async with joined(server.url, "client") as mesh:
        yield mesh


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path / "servers") as running:
        yield running


@pytest.fixture
async def cluster_fleet(cluster: Cluster, tmp_path: Path, chaos: Scenario) -> AsyncIterator[Fleet]:
    fleet = Fleet(cluster.url, tmp_path, chaos.chance)
    yield fleet
    fleet.end()


@pytest.fixture
async def cluster_mesh(cluster: Cluster) -> AsyncIterator[Mesh]:
    async with joined(cluster.url, "client") as mesh:
        yield mesh


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A quick form may take long on a machine that is busy with others; `make chaos` says itself how long a full one may.

    What injects a fault is slow: `make test` begins with it.
    """
    for item in items:
        if SIZE == "quick" and item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(QUICK_WITHIN))
        if item.path.is_relative_to(HERE) and "chaos" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table, where the scenarios ran in this process."""
    if ROWS and SIZE != "quick":
        terminalreporter.section(f"faults ({SIZE})")
        for line in table(ROWS):
            terminalreporter.write_line(line)
        out = os.environ.get("CHAOS_REPORT")
        if out:
            Path(out).write_text("\n".join(table(ROWS)) + "\n")
