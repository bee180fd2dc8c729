"""Breakers when all is well again: whoever calls on closes them. None may stay open for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
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
    "echo": {"word": ""},
    "source": {"fails": False},
    "middle": {"fails": False},
    "front": {"fails": False, "auction": False},
    "till": {"word": ""},
    "scribe": {"word": ""},
    "clerk": {"word": ""},
}
"""What a breaker may be for, with what is asked then."""
AT_A_TIME = 4
"""Calls at once by which a tool's or an output's breaker is tried: more than it lets through."""
Work = Callable[[Mesh], Awaitable[object]]


async def recovered(world: World) -> str:
    """Call on, wherever a breaker is not closed whose target is there, until all are. What is still open at last; empty: none."""
    end, number, pause = world.loop.now + WITHIN, 0, PAUSE
    while (open_ones := list(_open(world))) and world.loop.now < end:
        for process, _, _, work in open_ones:
            number += 1
            assert process.mesh is not None
            assert process.place is not None
            process.place.context.run(process.mesh.peer.spawn, _try(process.mesh, work), f"recovery-{number}")
        await asyncio.sleep(pause)
        pause = min(LONGEST, pause * 1.15)
    return next(
        (f"{process.name} still has an open breaker for {what} of {key}" for process, key, what, _ in open_ones), ""
    )


async def _try(mesh: Mesh, work: Work) -> None:
    try:
        await work(mesh)
    except MeshError as error:
        mesh.peer.count("recovery", error=error.code)


def _call(capability: str) -> Work:
    return lambda mesh: mesh.call(capability, CALLS[capability], timeout=TIMEOUT)


def _asks(target: str, capability: str) -> Work:
    """Several at once."""

    async def asked(mesh: Mesh) -> None:
        asks = (mesh.ask(target, CALLS[capability], returns=str, timeout=TIMEOUT) for _ in range(AT_A_TIME))
        await asyncio.gather(*asks, return_exceptions=True)

    return asked


def _open(world: World) -> Iterator[tuple[Process, str, str, Work]]:
    """Those that are not closed: where, for whom and what, and what may close it. Of a target that is gone, no matter."""
    for process in world.everybody.values():
        mesh = process.mesh
        if mesh is None:
            continue
        for target, capability in mesh.peer.breakers.troubled:
            if capability in CALLS and mesh.directory.listing(target) is not None:
                yield process, target, capability, _call(capability)
        for target, capability in mesh.peer.quality.troubled:
            if capability in CALLS and mesh.directory.lookup(capability):
                yield process, target, capability, _asks(capability, capability)
        for agent, tool in mesh.peer.tools.breakers.troubled:
            for actor in mesh.actors:
                if actor.definition.name == agent:
                    yield process, agent, tool, _asks(actor.key, agent)
