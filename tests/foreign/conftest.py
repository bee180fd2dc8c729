"""A real server, a mesh of ours on it, and a stranger beside that. Every test has a namespace of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from mesh.client.mesh import Mesh
from tests.foreign.speech import Speaker
from tests.foreign.wire import Wire
from tests.servers import RealServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with RealServer(tmp_path_factory.mktemp("foreign")) as running:
        yield running


@pytest.fixture
def namespace() -> str:
    return f"foreign{next(_numbers)}"


@pytest.fixture
async def ours(server: RealServer, namespace: str) -> AsyncIterator[Mesh]:
    async with Mesh.connect(server.url, namespace=namespace, process="ours") as mesh:
        yield mesh


@pytest.fixture
async def wire(server: RealServer) -> AsyncIterator[Wire]:
    wire = await Wire.open(server.url)
    yield wire
    await wire.close()


@pytest.fixture
async def stranger(wire: Wire, namespace: str) -> Speaker:
    return Speaker(wire, namespace, "stranger-1")
