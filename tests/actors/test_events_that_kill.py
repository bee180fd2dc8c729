"""A durable event that kills whoever takes it in hand is put away after so many deaths, and takes no other event with it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import on_event
from mesh.actors.events.reactions import LOST
from mesh.client.mesh import Mesh
from mesh.clock import SystemIds
from mesh.protocols.dead_letters import DeadLetter
from mesh.testing import Faults, MemoryServer, local_mesh, until
from mesh.testing.virtual_time import VirtualClock

pytestmark = pytest.mark.virtual


async def letters(mesh: Mesh) -> list[DeadLetter]:
    found = await mesh.peer.store.read("mesh_default_DLQ", "mesh.default.dlq.*")
    return [msgspec.json.decode(each.data, type=DeadLetter) for each in found]


async def test_an_event_that_kills_its_process_each_time_becomes_a_dead_letter_and_those_beside_it_are_done(
    clock: VirtualClock,
) -> None:
    server = MemoryServer(clock, SystemIds(clock))
    faults, done, deaths = Faults(server), [], []
    died = asyncio.Event()

    class Clerk(Agent):
        capacity = 8

        @on_event("order.placed", durable=True)
        async def placed(self, order: str) -> None:
            if order == "fatal":
                deaths.append(order)
                faults.kill("clerk")
                died.set()
                await asyncio.Event().wait()
            await asyncio.sleep(0.5)
            done.append(order)

    async with local_mesh(server, process="client") as client, local_mesh(server, process="clerk") as mesh:
        await mesh.host(Clerk)
        for order in ("first", "fatal", "second", "third"):
            await client.emit("order.placed", order)

        async def host_again() -> None:
            while True:
                await died.wait()
                died.clear()
                await faults.restart("clerk")

        keeping = asyncio.ensure_future(host_again())
        await until(lambda: len(deaths) >= LOST, timeout=3600)
        await until(lambda: {"first", "second", "third"} <= set(done), timeout=3600)
        await asyncio.sleep(600)
        keeping.cancel()
        (letter,) = await letters(client)
    assert (letter.reason.code, len(deaths)) == ("agent-lost", LOST)
    assert b'"fatal"' in letter.data()
