"""Where the contract is tried: a server in memory and a real one, behind the same few verbs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from pathlib import Path
from random import Random
from typing import Literal, Protocol

from mesh.clock import SystemClock, SystemIds
from mesh.settings.target import ServerTarget
from mesh.transport.connection import Connection, connect
from mesh.transport.memory.server import MemoryServer
from tests.servers import RealServer
from tests.simulation.client import SimulatedBus
from tests.simulation.network import Network, Weather
from tests.simulation.server import SimulatedServer
from tests.simulation.storage import Quirks
from tests.simulation.store import SimulatedStore


class Place(Protocol):
    """A server and the connections a test made to it."""

    async def connect(self, name: str = "") -> Connection:
        """A new client."""

    async def stop(self) -> None:
        """kill -9."""

    async def start(self) -> None:
        """Start it again on the same store; returns when every client is connected."""

    async def close(self) -> None:
        """Close every client, and a server of its own."""


class MemoryPlace:
    def __init__(self) -> None:
        clock = SystemClock()
        self.server = MemoryServer(clock, SystemIds(clock))
        self._connections: list[Connection] = []

    async def connect(self, name: str = "") -> Connection:
        self._connections.append(self.server.connect(name))
        return self._connections[-1]

    async def stop(self) -> None:
        self.server.stop()

    async def start(self) -> None:
        self.server.start()

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()


class SimulatedPlace:
    """The server of the simulation, with the quirks that the contract allows: late expiry, forgotten acks, a slow disk."""

    def __init__(self) -> None:
        clock, random = SystemClock(), Random(1)
        quirks = Quirks(disk=0.0005, disk_spread=0.001, forget_acks=0.5)
        self.server = SimulatedServer(clock, SystemIds(clock), random, quirks, copy_context())
        self.network = Network(random, self.server, Weather(0.0001, 0.0005))
        self._connections: list[Connection] = []

    async def connect(self, name: str = "") -> Connection:
        clock = SystemClock()
        bus = SimulatedBus(self.network, name, clock, SystemIds(clock))
        self._connections.append(Connection(bus, SimulatedStore(bus), name=name))
        return self._connections[-1]

    async def stop(self) -> None:
        self.network.stop_server()
        await eventually(lambda: not any(c.bus.connected for c in self._connections))

    async def start(self) -> None:
        self.server.start()
        await eventually(lambda: all(c.bus.connected for c in self._connections))

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()


class RealPlace:
    def __init__(self, server: RealServer, wire: Literal["fast", "plain"]) -> None:
        self.server = server
        self._wire: Literal["fast", "plain"] = wire
        self._connections: list[Connection] = []

    async def connect(self, name: str = "") -> Connection:
        self._connections.append(await connect(ServerTarget(url=self.server.url), name=name, wire=self._wire))
        return self._connections[-1]

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.kill)
        await eventually(lambda: not any(c.bus.connected for c in self._connections))

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)
        await eventually(lambda: all(c.bus.connected for c in self._connections))

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()


def own_server(kind: Literal["memory", "simulated", "fast", "plain"], folder: Path) -> Place:
    """A place whose server may be broken."""
    if kind == "memory":
        return MemoryPlace()
    return SimulatedPlace() if kind == "simulated" else RealPlace(RealServer(folder).start(), kind)


async def eventually(condition: Callable[[], object], timeout: float = 30.0) -> None:
    """Wait until the condition holds; a test that needs this names what it waits for in the condition itself."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def eventually_none(read: Callable[[], Awaitable[object]], timeout: float = 30.0) -> None:
    """Wait until reading finds nothing any more."""
    async with asyncio.timeout(timeout):
        while await read():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
