"""`LocalProcess`: one process of a mesh in memory, which a test can kill and start again."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from mesh.client.mesh import Mesh
from mesh.protocols.ports import Clock, Ids
from mesh.telemetry.telemetry import Telemetry
from mesh.testing.handler_faults import HandlerFaults
from mesh.transport.memory.server import MemoryServer


@dataclass(eq=False)
class LocalProcess:
    """A name on a server, and the mesh that stands there now."""

    server: MemoryServer
    name: str
    clock: Clock
    ids: Ids
    namespace: str
    telemetry: Telemetry | None = None

    async def open(self) -> Mesh:
        """Connect, and be there."""
        self._stack = AsyncExitStack()
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self.server.connect(self.name))
            self.mesh = await stack.enter_async_context(
                Mesh.over(
                    connection, process=self.name, clock=self.clock, ids=self.ids, namespace=self.namespace,
                    host="local", telemetry=self.telemetry,
                )
            )  # fmt: skip
            self.mesh.peer.interceptor = HandlerFaults.of(self.server).intercept
            self._stack = stack.pop_all()
        _PROCESSES.setdefault(self.server, {})[self.name] = self
        _SERVERS[self.mesh] = self.server
        return self.mesh

    async def close(self) -> None:
        """Leave. Again: nothing happens."""
        if _PROCESSES.get(self.server, {}).get(self.name) is self:
            del _PROCESSES[self.server][self.name]
        await self._stack.aclose()

    async def restart(self) -> Mesh:
        """Die as by `kill -9`, and come back under the same name with the same agents and workflows, their state fresh."""
        hosted = [(each.definition, each.instance, each.labels, each.ceiling) for each in self.mesh.actors]
        workflows = self.mesh.workflows
        self.server.kill(self.name)
        await self.close()
        mesh = await self.open()
        for definition, instance, labels, capacity in hosted:
            await mesh.host(definition, instance=instance, labels=labels, capacity=capacity)
        if workflows:
            await mesh.host_workflow(workflows)
        return mesh


def process_of(server: MemoryServer, name: str) -> LocalProcess | None:
    """The process of that name, if `local_mesh` made it."""
    return _PROCESSES.get(server, {}).get(name)


def server_of(mesh: Mesh) -> MemoryServer | None:
    """The server that `local_mesh` opened this mesh on."""
    return _SERVERS.get(mesh)


_PROCESSES: WeakKeyDictionary[MemoryServer, dict[str, LocalProcess]] = WeakKeyDictionary()
_SERVERS: WeakKeyDictionary[Mesh, MemoryServer] = WeakKeyDictionary()
