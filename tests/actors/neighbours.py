"""What the actors' tests share: peers by name, what they logged, and messages that no honest peer would send."""

from __future__ import annotations

from typing import Any

from mesh.actors.peer import Identity, Peer
from mesh.actors.running.actor import Actor
from mesh.protocols.envelope import Envelope, decode
from mesh.protocols.ports import Clock, Ids, Message
from mesh.telemetry.telemetry import Fields, Telemetry
from mesh.testing.virtual_time import until
from mesh.transport.connection import Connection
from mesh.transport.memory.server import MemoryServer


class Neighbours:
    """`await neighbours.peer("a")` makes or finds a process; `log` is what all of them told."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self.clock, self.ids = clock, ids
        self.server = MemoryServer(clock, ids, latency=0.001)
        self.log: list[tuple[str, Fields]] = []
        self._peers: dict[str, Peer] = {}
        self.telemetry = Telemetry(clock.now, lambda event, at, fields: self.log.append((event, fields)))

    async def peer(self, process: str, **options: Any) -> Peer:
        if process not in self._peers:
            peer = self._peers[process] = Peer(
                self.server.connect(process),
                identity=Identity(process=process, pid=1),
                clock=self.clock,
                ids=self.ids,
                telemetry=self.telemetry,
                **options,
            )
            await peer.start()
        return self._peers[process]

    async def host(self, agent: Any, *, process: str = "host", **options: Any) -> Actor:
        """Host an agent, and return when everybody knows of it."""
        actor = await (await self.peer(process)).host(agent, **options)
        key = f"{process}.{actor.key}"
        await until(lambda: all(peer.directory.listing(key) for peer in self._peers.values()))
        return actor

    async def client(self) -> Peer:
        """A process that hosts nothing, and knows everybody the others know."""
        client = await self.peer("client")
        known = {listing.key for peer in self._peers.values() for listing in peer.directory.instances()}
        await until(lambda: all(client.directory.listing(key) for key in known))
        return client

    def told(self, event: str) -> list[Fields]:
        """Everything told under that name."""
        return [fields for name, fields in self.log if name == event]

    async def stop(self, process: str) -> None:
        """One process leaves the mesh."""
        peer = self._peers.pop(process)
        await peer.stop()
        await peer.bus.close()

    async def leave(self) -> None:
        for process in list(self._peers):
            await self.stop(process)


class Stranger:
    """A client that speaks raw bytes to a process, as anybody with a NATS connection can."""

    def __init__(self, connection: Connection, peer: Peer, name: str = "stranger") -> None:
        self.bus = connection.bus
        self.peer = peer
        self.name = name
        self.heard: list[Message] = []

    async def listen(self) -> None:
        await self.bus.subscribe(self.peer.subjects.reply_inbox(self.name), self.heard.append)

    def send(self, data: bytes, *, agent: str = "echo", instance: str = "host", reply: str | None = None) -> None:
        subject = self.peer.subjects.rpc(self.peer.process, agent, instance, self.name)
        if reply is None:
            reply = self.peer.subjects.reply(self.name, self.peer.process, "t1")
        self.bus.publish(subject, data, reply=reply)

    @property
    def answers(self) -> list[Envelope]:
        return [decode(message.data) for message in self.heard]
