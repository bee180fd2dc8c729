"""`Asking`: calls beside jobs. The client asks agents and holds auctions while everything goes wrong around it.

Each has a time within which it must come to something, an answer or a typed error: every wait has an end. What may be done at
most once is done at most once for each call, whatever is sent again.
"""

from __future__ import annotations

import asyncio

from mesh.client.mesh import Mesh
from mesh.protocols.constraints import Usage
from mesh.protocols.errors import MeshError
from mesh.resilience.hedging import Hedge
from tests.simulation.invariants import Invariants
from tests.simulation.questions import Question
from tests.simulation.world import World

HEDGE = Hedge(least=5)
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
                self._invariants.degraded.answered(question.key, answer.value, answer.source)
                return answer
            case "tell":
                return await mesh.tell("worker", payload, command="compute")
            case "call":
                return await mesh.call("work.compute", payload, timeout=timeout)
            case "charge":
                return await mesh.call("work.charge", payload, timeout=timeout, key=question.key)
            case "pay":
                return await mesh.call("pay.once", payload, timeout=timeout, key=question.key)
            case _:
                return await self._put_to_a_guest(mesh, question)

    async def _put_to_a_guest(self, mesh: Mesh, question: Question) -> object:
        """What there is to ask only where there are guests."""
        key, timeout, payload = question.key, question.timeout, {"word": question.key}
        match question.how:
            case "hedge":
                return await self._hedged(mesh, question)
            case "hedge-call":
                return self._own(key, await mesh.call("echo", payload, timeout=timeout, hedge=HEDGE))
            case "hedge-pay":
                return await self._never_hedged(mesh, question)
            case "till" | "clerk":
                return self._own(key, await mesh.ask(question.how, payload, timeout=timeout))
            case "scribe":
                return self._own(key, await mesh.ask("scribe", payload, timeout=timeout, returns=str))
            case how:
                about = {"fails": how == "front-dry", "auction": how == "front-auction"}
                answer = await mesh.ask("front", about, timeout=timeout, fallbacks=())
                self._invariants.degraded.answered(key, answer.value, answer.source)
                return answer

    async def _hedged(self, mesh: Mesh, question: Question) -> object:
        """Asked once or twice, answered once: also what was used is told once."""
        told: list[Usage] = []
        answer = await mesh.peer.ask(
            "echo", {"word": question.key}, timeout=question.timeout, hedge=HEDGE, on_usage=told.append
        )  # fmt: skip
        if len(told) != 1:
            self._invariants.violated(
                f"{question.key} was answered once, and told {len(told)} times what that has used"
            )
        return self._own(question.key, answer)

    async def _never_hedged(self, mesh: Mesh, question: Question) -> object:
        """What may be done at most once is not hedged, whoever asks for that."""
        try:
            answer = await mesh.ask("payer", {"takes": 0.0}, timeout=question.timeout, key=question.key, hedge=HEDGE)
        except TypeError as error:
            return error
        self._invariants.violated(f"{question.key} may be done at most once, and is hedged: {answer}")
        return answer

    def _own(self, key: str, answer: object) -> object:
        if answer != key:
            self._invariants.violated(f"{key} was handed the answer of another question: {answer!r}")
        return answer
