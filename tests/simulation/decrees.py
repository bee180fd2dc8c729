"""`Decrees`: what an operator decides at the client while everything goes wrong: kill switches, limits, shares.

Each is written to the bucket as `mesh kill` writes it, and written again until the server has taken it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from mesh.policy.policy import open_policies
from mesh.protocols.errors import MeshError
from mesh.protocols.policies import RateLimit, Switch, TenantShare

if TYPE_CHECKING:
    from tests.simulation.world import World

Decision = Switch | RateLimit | TenantShare
PAUSE = 0.2
"""Virtual seconds before a write is tried again."""


class Decrees:
    """Those of one run. What is wanted of a key is what is written last."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._wanted: dict[str, Decision | None] = {}
        self._busy: set[str] = set()

    def set(self, decision: Decision, seconds: float = 0.0) -> None:
        """It is in force from now on; with `seconds`, for so long."""
        self._want(decision.key, decision)
        if seconds:
            loop = self._world.loop
            loop.call_later(seconds, self._want, decision.key, None, context=loop.outside.context)

    def lift_all(self) -> None:
        """Nothing is in force any more."""
        for key in self._wanted:
            self._want(key, None)

    def _want(self, key: str, decision: Decision | None) -> None:
        self._wanted[key] = decision
        mesh, place = self._world.client.mesh, self._world.client.place
        if key not in self._busy and mesh is not None and place is not None:
            self._busy.add(key)
            place.context.run(mesh.peer.spawn, self._write(key), f"decree {key}")

    async def _write(self, key: str) -> None:
        """Until what is stored is what is wanted now."""
        mesh, nothing = self._world.client.mesh, object()
        assert mesh is not None
        stored: object = nothing
        while stored is not self._wanted[key]:
            wanted = self._wanted[key]
            try:
                bucket = await open_policies(mesh.peer.store, mesh.peer.subjects)
                if wanted is None:
                    await bucket.delete(key)
                else:
                    await bucket.put(key, msgspec.json.encode(wanted))
            except MeshError as error:
                self._world.tell("client", f"could not decide {key}: {type(error).__name__}")
                await asyncio.sleep(PAUSE)
            else:
                stored = wanted
                self._world.tell("client", f"{key} is {'lifted' if wanted is None else 'in force'}")
        self._busy.discard(key)
