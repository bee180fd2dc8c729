"""`World`: a server, a network, and the processes of one mesh, each a place that can be killed, stopped and started again.

Everything that runs in a place is the production code: `Mesh.over` on a connection of the simulation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

from mesh.client.mesh import Mesh
from mesh.clock import SeededIds
from mesh.jobs.host import JobHost
from mesh.protocols.errors import MeshError
from mesh.protocols.job_events import decode_entry
from mesh.protocols.ports import Stored
from mesh.protocols.subjects import Subjects
from mesh.transport.connection import Connection
from mesh.transport.matching import matches
from tests.simulation.client import SimulatedBus
from tests.simulation.clocks import LocalClock
from tests.simulation.configuration import Configuration
from tests.simulation.guests import guests_of
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.outside import Effect, Outside
from tests.simulation.place import Place
from tests.simulation.server import SimulatedServer
from tests.simulation.store import SimulatedStore
from tests.simulation.trace import Trace
from tests.simulation.workload import agents_of, workflows_of


class Process:
    """A name in the mesh, and the place where it runs now."""

    def __init__(self, world: World, name: str, does: tuple[str, ...]) -> None:
        self.world = world
        self.name = name
        self.does = does
        self.starts = 0
        self.place: Place | None = None
        self.bus: SimulatedBus | None = None
        self.mesh: Mesh | None = None
        self.clock: LocalClock | None = None
        self.leaving = False
        self._returns = False
        self.on_up: Callable[[Mesh], None] = lambda mesh: None

    @property
    def alive(self) -> bool:
        """Whether it runs, or is stopped and can go on."""
        return self.place is not None and self.place.alive

    @property
    def up(self) -> bool:
        """Whether it has come up and hosts what it should."""
        return self.alive and self.mesh is not None and not self.leaving

    def start(self) -> None:
        """Run it. Again while it runs: nothing happens. While it leaves: once it has left, however long that takes."""
        if self.alive:
            self._returns = self.leaving
            return
        self.starts += 1
        self.mesh, self.leaving, self._returns = None, False, False
        made = self.world.configuration
        place = self.place = Place(self.name, self.starts, made.offsets.get(self.name, 0.0))
        self.clock = LocalClock(self.world.loop, place, made.skews.get(self.name, 0.0))
        self.world.tell(self.name, "starts")
        self.world.touch(self.name)
        place.context.run(self._run, place)

    def _run(self, place: Place) -> None:
        self.world.loop.create_task(self._live(place), name=f"{self.name} lives")

    async def _live(self, place: Place) -> None:
        """As a supervisor has it: a start that fails is tried again."""
        world = self.world
        while not self.leaving:
            ids = SeededIds(self.clock, world.random.getrandbits(62))
            bus = self.bus = SimulatedBus(world.network, self.name, self.clock, ids)
            connection = Connection(bus, SimulatedStore(bus), name=self.name)
            with suppress(MeshError):
                while not bus.connected:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                async with (
                    connection,
                    Mesh.over(
                        connection, process=self.name, clock=self.clock, ids=ids, namespace="sim", host=self.name
                    ) as mesh,
                ):
                    await self._host(mesh)
                    self.mesh = mesh
                    world.touch(self.name)
                    world.tell(self.name, "is up")
                    self.on_up(mesh)
                    while not self.leaving:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                    self.mesh = None
                    await mesh.drain(5.0)
                    world.tell(self.name, "has drained")
            await asyncio.sleep(0.2)
        place.context.run(world.loop.call_soon, self._exit)

    async def _host(self, mesh: Mesh) -> None:
        for each in self.does:
            if each == "flows":
                mesh._jobs = JobHost(mesh.peer, mesh.initiator, at_once=self.world.configuration.places)
                await mesh.host_workflow(self.world.workflows)
            else:
                await mesh.host(self.world.agents[each])

    def _exit(self) -> None:
        if self.place is not None and self.place.alive:
            self.world.loop.dead(self.place)
            if self._returns:
                self.start()

    def kill(self, why: str) -> None:
        """kill -9. Again: nothing happens."""
        if self.place is None or not self.place.alive:
            return
        self.world.tell(self.name, f"is killed: {why}")
        self.mesh = None
        self.world.loop.dead(self.place)
        if self.bus is not None:
            self.bus.die()

    def drain(self) -> None:
        """SIGTERM."""
        if self.up:
            self.world.tell(self.name, "is told to leave")
            self.leaving = True


class World:
    """See the module."""

    def __init__(self, loop: SimulatedLoop, configuration: Configuration, random: Random) -> None:
        self.loop = loop
        self.configuration = configuration
        self.random = random
        self.trace = Trace(lambda: loop.now)
        self.outside = Outside()
        guests = configuration.guests
        self.agents: Mapping[str, Any] = agents_of(self.outside, configuration.room) | guests_of(self.outside, guests)
        self.workflows = workflows_of(self.outside, guests)
        self._touched: dict[str, float] = {}
        self.subjects = Subjects("sim")
        self._journals = self.subjects.job_all()
        self.server_place = Place("server")
        clock = LocalClock(loop, self.server_place)
        self.server_clock = clock
        ids = SeededIds(clock, random.getrandbits(62))
        self.server = SimulatedServer(clock, ids, random, configuration.quirks, self.server_place.context)
        self.network = Network(random, self.server, configuration.weather)
        self.processes = {name: Process(self, name, does) for name, does in configuration.processes.items()}
        self.client = Process(self, "client", ())
        self.everybody = {**self.processes, "client": self.client}
        self.outside.on_effect.append(self._effect)
        self.server.storage.appended.append(self._appended)

    def tell(self, where: str, what: str) -> None:
        """A line of the trace."""
        self.trace.tell(where, what)

    def touch(self, name: str = "", seconds: float = 0.0) -> None:
        """A fault has it in its hands, for so long; without a name, all of them."""
        until = self.loop.now + seconds
        self._touched[name] = max(until, self._touched.get(name, 0.0))

    def quiet(self, name: str) -> float:
        """Seconds since a fault has last touched it."""
        touched = self._touched
        return self.loop.now - max(touched.get("", 0.0), touched.get(name, 0.0))

    def process(self, name: str) -> Process:
        """One of them, by name."""
        return self.everybody[name]

    async def start(self) -> None:
        """Start all, and wait until they are up."""
        for each in self.everybody.values():
            each.start()
        while not all(each.up for each in self.everybody.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    def _effect(self, effect: Effect, when: str) -> None:
        if when == "after":
            self.tell(
                effect.place, f"does {effect.kind} for {effect.step} of {effect.job[:13]} under {effect.key[:13]}"
            )

    def _appended(self, stored: Stored) -> None:
        if matches(self._journals, stored.subject):
            entry = decode_entry(stored.data)
            words = ", ".join(_words(event) for event in entry.events)
            self.tell(entry.owner or "-", f"journal {entry.job[:13]} #{stored.sequence} e{entry.epoch}: {words}")


def _words(event: Any) -> str:
    said = str(event.__struct_config__.tag)
    for name in ("key", "process", "how", "reason"):
        value = getattr(event, name, "")
        if value:
            said += f" {value}"
    return said
