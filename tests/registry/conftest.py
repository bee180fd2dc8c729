"""A small crew of processes on one server in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mesh.protocols.ports import Clock, Ids
from mesh.transport.memory.server import MemoryServer
from tests.registry.crew import Crew


@pytest.fixture
def server(clock: Clock, ids: Ids) -> MemoryServer:
    return MemoryServer(clock, ids, latency=0.001)


@pytest.fixture
async def crew(server: MemoryServer, clock: Clock, ids: Ids) -> AsyncIterator[Crew]:
    crew = Crew(server, clock, ids)
    yield crew
    await crew.disband()
