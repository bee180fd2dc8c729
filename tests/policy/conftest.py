"""A board in memory: what one process knows of the policies, and an operator who changes them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mesh.protocols.ports import Clock, Ids
from mesh.transport.memory.server import MemoryServer
from tests.policy.policy_operator import Operator


@pytest.fixture
def server(clock: Clock, ids: Ids) -> MemoryServer:
    return MemoryServer(clock, ids, latency=0.001)


@pytest.fixture
async def operator(server: MemoryServer, clock: Clock) -> AsyncIterator[Operator]:
    operator = Operator(server, clock)
    yield operator
    await operator.leave()
