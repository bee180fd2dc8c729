"""What these tests share: processes in one mesh in memory, each taking part in the contract net."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.peer import Peer
from mesh.actors.running.actor import Actor
from mesh.actors.running.context import Context
from mesh.contract_net.calls import Call, Contracted
from mesh.contract_net.initiator import Initiator
from mesh.contract_net.ledger import MemoryLedger
from mesh.contract_net.participant import Participant
from mesh.protocols.ports import Clock, Ids, Message
from mesh.resilience.deadline import Deadline
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours


class MarketPlace(Neighbours):
    """`await place.trader("a")` makes or finds a process with both sides of the contract net."""

    def __init__(self, clock: Clock, ids: Ids, *, quietly: bool = True) -> None:
        super().__init__(clock, ids)
        self.quietly = quietly
        self.participants: dict[str, Participant] = {}
        self.initiators: dict[str, Initiator] = {}
        self.ledger = MemoryLedger()
        self.seen: list[str] = []
        self.server.faults.filter = self._see

    def _see(self, message: Message) -> bool:
        if b'"kind":"act"' in message.data or b'"kind":"item"' in message.data:
            self.seen.append(str(msgspec.json.decode(message.data)["name"]))
        return True

    async def peer(self, process: str, **options: Any) -> Peer:
        new = process not in self._peers
        peer = await super().peer(process, **options)
        if new:
            self.participants[process] = Participant(peer)
            self.participants[process].start()
            self.initiators[process] = Initiator(peer, quietly=self.quietly)
            self.initiators[process].start()
        return peer

    async def caller(self) -> Initiator:
        await self.client()
        await until(lambda: "client" in self.initiators)
        return self.initiators["client"]

    def call(self, capability: str = "do", payload: Any = None, *, timeout: float = 5.0, **terms: Any) -> Call:
        return Call(
            capability=capability,
            input=msgspec.Raw(msgspec.json.encode(payload)),
            deadline=Deadline.after(self.clock, timeout),
            **terms,
        )

    async def contract(self, payload: Any = None, *, capability: str = "do", **terms: Any) -> Contracted:
        """Call from the process `client`, with the ledger of this place."""
        caller = await self.caller()
        return await caller.contract(self.call(capability, payload, **terms), ledger=self.ledger)

    def start(self, payload: Any = None, **terms: Any) -> asyncio.Task[Contracted]:
        return asyncio.ensure_future(self.contract(payload, **terms))

    def kill(self, process: str) -> None:
        """As by kill -9."""
        self.server.kill(process)

    async def worker(self, process: str, *, effect: str = "costly", **options: Any) -> Actor:
        return await self.host(WORKERS[effect], process=process, **options)

    def executed(self, *actors: Actor) -> list[Any]:
        return [each for actor in actors for each in actor.target.done]


class Worker(Agent, abstract=True):
    """Does as it is told: `seconds` to take; remembers what it did."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.done: list[Any] = []

    async def work(self, ctx: Context, seconds: float | None) -> str:
        self.begun.append(ctx.key)
        await asyncio.sleep(seconds or 0.0)
        self.done.append(ctx.key)
        return ctx.process


class Costly(Worker):
    name = "worker"

    @command(capability="do", effect="costly")
    async def do(self, ctx: Context, seconds: float | None) -> str:
        return await self.work(ctx, seconds)


class Pure(Worker):
    name = "worker"

    @command(capability="do", effect="pure")
    async def do(self, ctx: Context, seconds: float | None) -> str:
        return await self.work(ctx, seconds)


class Idempotent(Worker):
    name = "worker"

    @command(capability="do", effect="idempotent")
    async def do(self, ctx: Context, seconds: float | None) -> str:
        return await self.work(ctx, seconds)


class Once(Worker):
    name = "worker"

    @command(capability="do", effect="at_most_once")
    async def do(self, ctx: Context, seconds: float | None) -> str:
        return await self.work(ctx, seconds)


WORKERS: dict[str, type[Agent]] = {"costly": Costly, "pure": Pure, "idempotent": Idempotent, "at_most_once": Once}


async def settled(place: MarketPlace, seconds: float = 1.0) -> None:
    """Let virtual time pass."""
    await place.clock.sleep(seconds)


__all__ = ["MarketPlace", "Worker", "settled", "until"]
