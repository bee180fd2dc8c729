"""What every fault test waits for and asks: conditions, never pauses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from nats.aio.client import Client

from mesh.client.mesh import Mesh
from mesh.clock import SystemClock, SystemIds
from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Clock, Ids
from mesh.settings.target import target_of
from mesh.testing.virtual_time import until
from mesh.transport.connection import Connection, connect

T = TypeVar("T")


async def listed(mesh: Mesh, *processes: str, agent: str = "worker", within: float = 30.0) -> None:
    """Until exactly these processes are listed with the agent."""
    try:
        await until(lambda: processes_of(mesh, agent) == sorted(processes), timeout=within)
    except TimeoutError:
        raise AssertionError(f"{processes_of(mesh, agent)} are listed, not {sorted(processes)}") from None


def processes_of(mesh: Mesh, agent: str = "worker") -> list[str]:
    """The processes that the directory lists with the agent."""
    return sorted(each.process for each in mesh.directory.instances(agent))


async def outcomes(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """What came of each, the typed errors among the results; anything else is raised."""
    found = await asyncio.gather(*work, return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException) and not isinstance(each, MeshError):
            raise each
    return found


async def soon(attempt: Callable[[], Awaitable[Any]], within: float = 30.0) -> Any:
    """What the attempt gives, made again while it fails in a way that passes (typed, transient, or its own deadline was too short)."""
    async with asyncio.timeout(within):
        while True:
            try:
                return await attempt()
            except MeshError as error:
                if error.error_class != "transient" and error.code not in (
                    "unknown-agent",
                    "no-bids",
                    "deadline-exceeded",
                ):
                    raise
                await asyncio.sleep(0.02)


async def reached(url: str, *, name: str = "", clock: Clock | None = None, ids: Ids | None = None) -> Connection:
    """A connection to a server that is there, however long a busy machine takes to greet."""
    target = target_of(url, "the test")
    return await soon(lambda: connect(target, name=name, clock=clock, ids=ids), 60)  # type: ignore[no-any-return]


@asynccontextmanager
async def joined(url: str, process: str, **terms: Any) -> AsyncIterator[Mesh]:
    """`Mesh.connect`, over such a connection."""
    clock = SystemClock()
    ids = SystemIds(clock)
    async with (
        await reached(url, name=process, clock=clock, ids=ids) as connection,
        Mesh.over(connection, process=process, clock=clock, ids=ids, **terms) as mesh,
    ):
        yield mesh


async def passes(
    look: Callable[[], Awaitable[T]], holds: Callable[[T], bool], *, within: float, every: float = 0.05
) -> T:
    """What a look gives, as soon as it gives something that will do."""
    async with asyncio.timeout(within):
        while True:
            found = await look()
            if holds(found):
                return found
            await asyncio.sleep(every)


def elapsed_since(mesh: Mesh) -> Callable[[], float]:
    """A stopwatch on the clock that cannot jump."""
    began = mesh.peer.clock.monotonic()
    return lambda: mesh.peer.clock.monotonic() - began


async def told(raw: Client) -> None:
    """Until the server has taken in everything that a raw client said. One flush is not enough: in nats-py the PING may
    overtake what waits to be written."""
    await raw.flush(60)
    await raw.flush(60)
