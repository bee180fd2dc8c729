"""`Asking`: calls beside jobs. The client asks agents and holds auctions while everything goes wrong around it.

Each has a time within which it must come to something, an answer or a typed error: every wait has an end. What may be done at
most once is done at most once for each call, whatever is sent again.
"""

from __future__ import annotations

import asyncio

from mesh.client.mesh import Mesh
from mesh.protocols.errors import MeshError
from tests.simulation.invariants import Invariants
from tests.simulation.questions import Question
from tests.simulation.workload import LESS
from tests.simulation.world import World

SLACK = 1.0
"""Virtual seconds by which a call may end late."""


class Asking:
    """Asks what was drawn. `open` are those that have not come to anything yet."""

    def __init__(self, world: World, invariants: Invariants) -> None:
        self._world = world
        self._invariants = invariants
        self.open: set[str] = {each.key for each in world.configuration.questions}

    def begin(self, mesh: Mesh) -> None:
        """Everything at its time."""
        for each in self._world.configuration.questions:
            mesh.peer.spawn(self._one(mesh, each), each.key)

    async def _one(self, mesh: Mesh, question: Question) -> None:
        await asyncio.sleep(question.at)
        loop = self._world.loop
        began = loop.now
        try:
            answer = await self._put(mesh, question)
        except MeshError as error:
            answer = f"{type(error).__name__}: {error}"
        took = loop.now - began
        self.open.discard(question.key)
        self._world.tell("client", f"{question.how} {question.key} took {took:.2f} s: {answer}")
        if took > question.timeout + SLACK:
            self._invariants.violated(f"{question} ended after {took:.2f} s")

    async def _put(self, mesh: Mesh, question: Question) -> object:
        payload, timeout, tenant = {"takes": question.takes}, question.timeout, question.tenant or None
        match question.how:
            case "ask":
                return await mesh.ask("worker", payload, command="compute", timeout=timeout, tenant=tenant)
            case "relay":
                answer = await mesh.ask("relay", payload, timeout=timeout, tenant=tenant, fallbacks=())
                if answer.value == LESS and answer.source == "full":
                    self._invariants.violated(f"{question.key} was handed a degraded answer as a full one")
                return answer
            case "tell":
                return await mesh.tell("worker", payload, command="compute")
            case "call":
                return await mesh.call("work.compute", payload, timeout=timeout)
            case "charge":
                return await mesh.call("work.charge", payload, timeout=timeout, key=question.key)
            case "pay":
                return await mesh.call("pay.once", payload, timeout=timeout, key=question.key)
