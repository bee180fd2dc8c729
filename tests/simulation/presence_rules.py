"""`PresenceRules`: whoever lives and holds its lease is in every directory, with all it offers, whenever things have been well for
a while: no fault has touched it, the one who looks, or what lies between them.

Looked at now and then, not at each event: what is missed is missed for longer than that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.invariants import Invariants
    from tests.simulation.world import Process, World

WITHIN = 12.0
"""Seconds for which all must have been well: a lease that runs out, the grace of one more for whoever renews late, a sweep
and the writing of what was swept by mistake come to less."""
EVERY = 1.0
"""Seconds between two looks."""


class PresenceRules:
    """See the module. `World.touched` has when a fault has last touched a process, and when all of them."""

    def __init__(self, invariants: Invariants) -> None:
        self._invariants = invariants
        self._next = 0.0

    def look(self) -> None:
        """Whether anybody is missing now who has been there long enough."""
        world = self._invariants.world
        if world.loop.now < self._next:
            return
        self._next = world.loop.now + EVERY
        well = [each for each in world.everybody.values() if self._well(world, each)]
        for looking in well:
            for each in well:
                for what in self._missing(looking, each):
                    self._invariants.violated(
                        f"{looking.name} has not listed {what} of {each.name}, though all has been well for {WITHIN:g} s"
                    )

    def _well(self, world: World, process: Process) -> bool:
        mesh = process.mesh
        return mesh is not None and process.up and world.quiet(process.name) >= WITHIN and mesh.peer.presence.held

    def _missing(self, looking: Process, process: Process) -> Iterator[str]:
        assert looking.mesh is not None
        assert process.mesh is not None
        directory, presence = looking.mesh.directory, process.mesh.peer.presence
        lease = directory.process(process.name)
        if lease is None or lease.incarnation != presence.incarnation:
            yield "the lease"
        for actor in process.mesh.actors:
            if directory.listing(f"{process.name}.{actor.key}") is None:
                yield actor.key
