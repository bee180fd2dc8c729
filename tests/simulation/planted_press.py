"""Bugs that are planted where jobs wait for one another: in the ingress, its overtaking, and the places of a process. As
`planted.py`, which has those of jobs and awards.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.jobs.intake.ingress import Ingress
from mesh.jobs.owning.overtaking import Overtaking
from mesh.jobs.owning.room import Room
from mesh.protocols.ports import Stored
from tests.simulation.plant import planted


@planted(
    "held-back-forgotten", "a message for which its tenant's queue has no room is taken for accounted for", 156, 249
)
def held_back_forgotten() -> None:
    handle = Ingress.handle

    async def hasty(self: Ingress, delivery: Any) -> None:
        await handle(self, delivery)

    Ingress.handle = hasty  # type: ignore[method-assign, assignment]


@planted("overtaken-anew", "a message that is let past becomes a job of its own, whatever its key says", 32, 97)
def overtaken_anew() -> None:
    attempt = Overtaking._try

    async def keyless(self: Overtaking, stored: Stored) -> None:
        headers = {name: value for name, value in (stored.headers or {}).items() if name != "Mesh-Key"}
        await attempt(self, msgspec.structs.replace(stored, headers=headers))

    Overtaking._try = keyless  # type: ignore[method-assign]


@planted("place-kept", "a job that is let go of keeps its place", 32, 7)
def place_kept() -> None:
    Room.let_go = lambda self, job: self.stir()  # type: ignore[method-assign]
