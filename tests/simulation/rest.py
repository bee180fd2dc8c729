"""What must be so when everything is over: everybody knows who is there, and nobody holds on to anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mesh.client.mesh import Mesh

if TYPE_CHECKING:
    from tests.simulation.presence_rules import PresenceRules
    from tests.simulation.world import World

WITHIN = 75.0
"""Virtual seconds within which it must be so: those who call wait for late answers until their deadlines."""
CAPABILITIES = {"work.compute": "work", "work.charge": "work", "pay.once": "pay", "workflow.order": "flows"}

Held = Callable[[Mesh], Collection[Any]]

LEFT: Mapping[str, Held] = {
    "waits for answers": lambda mesh: mesh.peer.exchange._waiting,
    "awards under way": lambda mesh: mesh.initiator.quiet,
    "winners waited for": lambda mesh: mesh.initiator.watching._winners,
    "negotiations by winner": lambda mesh: mesh.initiator.watching._held,
    "negotiations that wait for room": lambda mesh: [
        each for held in mesh.initiator.watching._paused.values() for each in held
    ],
    "awarded works": lambda mesh: mesh.participant._works,
    "running handlers": lambda mesh: [key for each in mesh.actors for key in each._running],
    "messages in mailboxes": lambda mesh: [each.key for each in mesh.actors if len(each.mailbox)],
    "jobs that are driven": lambda mesh: mesh._jobs.owner.running if mesh._jobs is not None else (),
}
"""What each process may hold on to, and must not once nothing is under way any more."""


def unrest(world: World) -> Iterator[str]:
    """What is not as it should be, now."""
    yield from _strangers(world)
    for name, process in world.everybody.items():
        if process.mesh is None:
            continue
        for what, held in LEFT.items():
            left = held(process.mesh)
            if left:
                yield f"{name} still holds {len(left)} {what}: {next(iter(left))!r}"


def _strangers(world: World) -> Iterator[str]:
    """In every directory: who lives, and nobody else."""
    alive = {name: each for name, each in world.processes.items() if each.up}
    starts = {name: each.mesh.peer.identity.incarnation for name, each in alive.items() if each.mesh is not None}
    for name, process in world.everybody.items():
        if process.mesh is None:
            continue
        known = {lease.process: lease.incarnation for lease in process.mesh.directory.processes()}
        if known != starts:
            yield f"{name} believes that these are there: {known}; there are: {starts}"
            continue
        for capability, does in CAPABILITIES.items():
            offered = {each.record.process for each in process.mesh.directory.lookup(capability, state=None)}
            offering = {each.name for each in alive.values() if does in each.does}
            if offered != offering:
                yield f"{name} believes that {sorted(offered)} offer {capability}; {sorted(offering)} do"


async def rest(world: World, presence: PresenceRules) -> str:
    """What is still not as it should be after a while; empty if all is well."""
    end = world.loop.now + WITHIN
    while (found := next(unrest(world), "")) and world.loop.now < end:
        await asyncio.sleep(0.5)
        presence.look()
    return found
