"""Every test of the contract runs in memory, in the simulation, and on a real server over both wires.

`place` is shared and must not be broken; `breakable` belongs to the test alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from mesh.clock import SystemIds
from mesh.transport.connection import Connection
from tests.contract.places import MemoryPlace, Place, RealPlace, SimulatedPlace, own_server
from tests.servers import RealServer

KINDS = ["memory", "simulated", *(pytest.param(wire, marks=pytest.mark.server) for wire in ("fast", "plain"))]
_ids = SystemIds()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with RealServer(tmp_path_factory.mktemp("contract")) as server:
        yield server


@pytest.fixture(params=KINDS)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    made: Place
    if request.param == "memory":
        made = MemoryPlace()
    elif request.param == "simulated":
        made = SimulatedPlace()
    else:
        made = RealPlace(request.getfixturevalue("shared_server"), request.param)
    yield made
    await made.close()


@pytest.fixture(params=KINDS)
async def breakable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    made = own_server(request.param, tmp_path_factory.mktemp("breakable"))
    yield made
    await made.close()
    if isinstance(made, RealPlace):
        made.server.stop()


@pytest.fixture
async def here(place: Place) -> Connection:
    return await place.connect("here")


@pytest.fixture
async def there(place: Place) -> Connection:
    return await place.connect("there")


@pytest.fixture
def space() -> str:
    """A first token that no other test uses: for subjects, streams, buckets."""
    return f"t{_ids.token()}"
