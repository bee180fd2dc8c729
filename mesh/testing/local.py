"""`local_mesh`: a whole mesh in memory, for tests of agents and of pairs of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.client.mesh import Mesh
from mesh.clock import SystemClock, SystemIds
from mesh.protocols.ports import Clock, Ids
from mesh.telemetry.telemetry import Telemetry
from mesh.testing.processes import LocalProcess
from mesh.transport.memory.server import MemoryServer


@asynccontextmanager
async def local_mesh(
    server: MemoryServer | None = None,
    *,
    process: str = "local",
    clock: Clock | None = None,
    ids: Ids | None = None,
    namespace: str = "default",
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Mesh]:
    """A mesh without a server: host agents on it and ask them, as in production.

    Several in one test form one mesh when they are given the same `server` and different `process` names. Under virtual
    time give the test's `clock`, and waiting costs nothing. `Faults` breaks things in it.
    """
    clock = clock or (server.clock if server else SystemClock())
    ids = ids or (server.ids if server else SystemIds(clock))
    server = server or MemoryServer(clock, ids)
    place = LocalProcess(server, process, clock, ids, namespace, telemetry)
    try:
        yield await place.open()
    finally:
        await place.close()
