"""A small crew of processes on one server in memory."""

from __future__ import annotations

from mesh.protocols.ports import Clock, Ids
from mesh.protocols.subjects import Subjects
from mesh.registry.directory import Directory
from mesh.registry.presence import Presence
from mesh.registry.records import Capability, Instance
from mesh.transport.connection import Connection
from mesh.transport.memory.server import MemoryServer

SUBJECTS = Subjects()


class Member:
    """One process: its connection, directory and presence."""

    def __init__(self, crew: Crew, name: str, **options: object) -> None:
        self.name = name
        self.connection: Connection = crew.server.connect(name)
        ports = (self.connection.bus, self.connection.store, crew.clock, crew.ids, SUBJECTS)
        self.directory = Directory(*ports, process=name)
        self.presence = Presence(*ports, process=name, host="here", pid=1, directory=self.directory, **options)  # type: ignore[arg-type]

    async def start(self) -> Member:
        await self.directory.start()
        await self.presence.start()
        return self

    async def stop(self) -> None:
        await self.presence.stop()
        await self.directory.stop()
        await self.connection.close()

    def sees(self) -> set[str]:
        """The processes it lists."""
        return {lease.process for lease in self.directory.processes()}


class Crew:
    """Makes members, and ends them with the test."""

    def __init__(self, server: MemoryServer, clock: Clock, ids: Ids) -> None:
        self.server, self.clock, self.ids = server, clock, ids
        self.members: list[Member] = []

    async def join(self, name: str, **options: object) -> Member:
        member = Member(self, name, **options)
        self.members.append(member)
        return await member.start()

    async def disband(self) -> None:
        for member in self.members:
            await member.stop()


def instance_of(process: str, agent: str = "greeter", number: str = "1", **more: object) -> Instance:
    values: dict[str, object] = {
        "agent": agent,
        "version": "1.2.0",
        "instance": number,
        "process": process,
        "host": "here",
        "pid": 1,
        "started_at": 1_800_000_000.0,
        "state": "ready",
        "capabilities": (Capability(name="greet", command="greet", effect="pure"),),
        **more,
    }
    return Instance(**values)  # type: ignore[arg-type]
