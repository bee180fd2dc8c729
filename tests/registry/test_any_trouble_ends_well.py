"""Whatever happens to processes, connections, leases and the server: when it is over, everybody knows who is alive."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.clock import SeededIds
from mesh.protocols.errors import MeshError
from mesh.registry.buckets import open_leases, open_records
from mesh.testing.virtual_time import VirtualClock, run_virtual
from mesh.transport.memory.server import MemoryServer
from tests.registry.crew import SUBJECTS, Crew, Member, instance_of

NAMES = ("ann", "bob", "cat")
WHO = st.sampled_from(NAMES)
TROUBLE = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.001, 4.0)),
    st.tuples(st.just("cut"), WHO, st.booleans()),
    st.tuples(st.just("restore"), WHO),
    st.tuples(st.just("kill"), WHO),
    st.tuples(st.just("rise"), WHO),
    st.tuples(st.just("replace"), WHO),
    st.tuples(st.just("purge lease"), WHO, WHO),
    st.tuples(st.just("purge record"), WHO, WHO),
    st.tuples(st.just("forge"), WHO, WHO),
    st.tuples(st.just("restart")),
    st.tuples(st.just("away"), st.floats(0.1, 5.0)),
)


class World:
    """Three processes, each of which may die and be started again."""

    def __init__(self, seed: int) -> None:
        self.clock = VirtualClock()
        ids = SeededIds(self.clock, seed=seed)
        self.server = MemoryServer(self.clock, ids, latency=0.001)
        self.crew = Crew(self.server, self.clock, ids)
        self.alive: dict[str, Member] = {}
        self.cut: set[str] = set()
        self.replaced: dict[str, Member] = {}

    async def rise(self, name: str) -> None:
        if name not in self.alive:
            self.alive[name] = await self.crew.join(name)
            await self.alive[name].presence.register(instance_of(name))

    async def kill(self, name: str) -> None:
        member = self.alive.pop(name, None)
        if member is not None:
            self.server.kill(name)
            self.cut.discard(name)
            self.replaced.pop(name, None)
            await member.stop()

    async def replace(self, name: str) -> None:
        """It is cut off for longer than its lease; meanwhile it is started again, elsewhere. In the end both are there."""
        old = self.alive.get(name)
        if old is None or name in self.cut or name in self.replaced:
            return
        old.connection.bus.lose()  # type: ignore[attr-defined]
        await self.clock.sleep(4)
        del self.alive[name]
        await self.rise(name)
        self.replaced[name] = old

    async def trouble(self, what: str, *about: object) -> None:
        match what, *about:
            case "wait", seconds:
                await self.clock.sleep(seconds)  # type: ignore[arg-type]
            case "cut", name, noticed:
                self.server.cut(name, noticed=noticed)  # type: ignore[arg-type]
                self.cut.add(str(name))
            case "restore", name:
                self.server.restore(name)  # type: ignore[arg-type]
                self.cut.discard(str(name))
            case "kill", name:
                await self.kill(str(name))
            case "rise", name:
                self.server.restore(str(name))
                self.cut.discard(str(name))
                await self.rise(str(name))
            case "replace", name:
                await self.replace(str(name))
            case "restart", *_:
                self.server.restart()
                for name in self.cut:
                    self.server.cut(name, noticed=False)
            case "away", seconds:
                self.server.stop()
                await self.clock.sleep(seconds)  # type: ignore[arg-type]
                self.server.start()
                self.cut.clear()
            case _, by, name:
                await self.harm(what, str(by), str(name))

    async def harm(self, what: str, by: str, name: str) -> None:
        """One process does harm to another, if it can."""
        if by not in self.alive or name not in self.alive or by in self.cut:
            return
        connection = self.alive[by].connection
        if what == "forge":
            server_id, client_id = self.alive[name].connection.bus.client
            forged = {"server": {"id": server_id}, "client": {"id": client_id}, "reason": "Client Closed"}
            connection.bus.publish("$SYS.ACCOUNT.MESH.DISCONNECT", msgspec.json.encode(forged))
            return
        opening = open_leases if what == "purge lease" else open_records
        key = f"proc.{name}" if what == "purge lease" else f"{name}.greeter.1"
        try:
            await (await opening(connection.store, SUBJECTS)).delete(key)
        except MeshError:
            return

    async def heal(self) -> None:
        for name in NAMES:
            self.server.restore(name)
        self.cut.clear()
        await self.clock.sleep(20)


@settings(max_examples=100, deadline=None)
@given(st.lists(TROUBLE, max_size=12), st.integers(0, 1000))
def test_when_the_trouble_is_over_everybody_knows_who_is_alive(troubles: list[tuple[object, ...]], seed: int) -> None:
    async def story() -> None:
        world = World(seed)
        for name in NAMES:
            await world.rise(name)
        for what, *about in troubles:
            await world.trouble(str(what), *about)
        await world.heal()
        for name, old in world.replaced.items():
            starts = old, world.alive[name]
            [world.alive[name]] = [each for each in starts if not each.presence.superseded]
        for member in world.alive.values():
            assert member.sees() == set(world.alive)
            assert {each.process for each in member.directory.lookup("greet")} == set(world.alive)
            assert member.presence.confident
        if world.alive:
            store = next(iter(world.alive.values())).connection.store
            records = await (await open_records(store, SUBJECTS)).all()
            assert {each.key for each in records} == {f"{name}.greeter.1" for name in world.alive}
        await world.crew.disband()

    run_virtual(story)
