"""Breakers when all is well again: whoever calls on closes them. None may stay open for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mesh.client.mesh import Mesh
from mesh.protocols.errors import MeshError

if TYPE_CHECKING:
    from tests.simulation.world import Process, World

WITHIN = 120.0
"""Virtual seconds within which all must be closed: the longest open time is 72, and three trial calls must succeed."""
PAUSE, LONGEST = 0.7, 5.0
"""Virtual seconds between two rounds of calls: more and more."""
TIMEOUT = 60.0
"""Seconds for one call: whoever has hung believes that calls take long, and takes none that has less time."""
CALLS = {
    "work.compute": {"takes": 0.0},
    "work.charge": {"takes": 0.0},
    "pay.once": {"takes": 0.0},
    "relay": {"takes": 0.0},
}
"""What a breaker may be for, with what is asked then."""


async def recovered(world: World) -> str:
    """Call on, wherever a breaker is not closed whose target is there, until all are. What is still open at last; empty: none."""
    end, number, pause = world.loop.now + WITHIN, 0, PAUSE
    while (open_ones := list(_open(world))) and world.loop.now < end:
        for process, _, capability in open_ones:
            number += 1
            assert process.mesh is not None
            assert process.place is not None
            process.place.context.run(process.mesh.peer.spawn, _call(process.mesh, capability), f"recovery-{number}")
        await asyncio.sleep(pause)
        pause = min(LONGEST, pause * 1.15)
    return next(
        (f"{process.name} still has an open breaker for {what} of {key}" for process, key, what in open_ones), ""
    )


async def _call(mesh: Mesh, capability: str) -> None:
    try:
        await mesh.call(capability, CALLS[capability], timeout=TIMEOUT)
    except MeshError as error:
        mesh.peer.count("recovery", error=error.code)


def _open(world: World) -> Iterator[tuple[Process, str, str]]:
    """Those that are not closed: where, and for whom and what. Of a target that is gone, no matter."""
    for process in world.everybody.values():
        mesh = process.mesh
        if mesh is None:
            continue
        for target, capability in mesh.peer.breakers.troubled:
            if capability in CALLS and mesh.directory.listing(target) is not None:
                yield process, target, capability
