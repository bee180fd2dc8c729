"""The async fixture of `mesh.testing`. Loaded where pytest-asyncio is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh
    from mesh.transport.memory.server import MemoryServer


@pytest_asyncio.fixture
async def mesh_local(mesh_server: MemoryServer) -> AsyncIterator[Mesh]:
    """A mesh in memory, for one process; `local_mesh(mesh_server, process=…)` adds another."""
    from mesh.testing.local import local_mesh

    async with local_mesh(mesh_server) as mesh:
        yield mesh
