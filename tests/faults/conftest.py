"""A real server, real processes, an honest client and a raw one: for every fault."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from mesh.client.mesh import Mesh
from tests.faults.crew import Crew
from tests.faults.expectations import joined
from tests.servers import RealServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path / "server") as running:
        yield running


@pytest.fixture
def crew(server: RealServer, tmp_path: Path) -> Iterator[Crew]:
    crew = Crew(server.url, tmp_path)
    yield crew
    crew.end()


@pytest.fixture
async def mesh(server: RealServer) -> AsyncIterator[Mesh]:
    """An honest client."""
    async with joined(server.url, "client") as mesh:
        yield mesh


@pytest.fixture
async def raw(server: RealServer) -> AsyncIterator[Client]:
    """Somebody with nats-py and bad manners."""
    client = await nats.connect(server.url, name="stranger")
    yield client
    await client.close()
