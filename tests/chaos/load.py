"""`under_load`: jobs keep coming while something is done to the mesh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.client.mesh import Mesh
from tests.chaos.fleet import Fleet
from tests.chaos.plans import acts


@asynccontextmanager
async def under_load(
    fleet: Fleet, mesh: Mesh, *, at_once: int = 8, steps: int = 4, calls: bool = True, pause: float = 0.0
) -> AsyncIterator[None]:
    """Jobs of steps done here and (with `calls`) by agents, handed in `at_once` at a time, with `pause` seconds
    between; at the end, the last are in."""
    stop = asyncio.Event()
    loading = asyncio.ensure_future(_load(fleet, mesh, stop, at_once, steps, calls, pause))
    try:
        yield
    except BaseException:
        loading.cancel()
        raise
    stop.set()
    await loading


async def _load(
    fleet: Fleet, mesh: Mesh, stop: asyncio.Event, at_once: int, steps: int, calls: bool, pause: float
) -> None:
    while not stop.is_set():
        here = not calls or fleet.chance.random() < 0.5
        plan = acts(steps, how="here" if here else "call", ms=fleet.chance.randrange(30))
        await fleet.hand_in_all(mesh, at_once, plan, at_once=at_once)
        await asyncio.sleep(pause)
