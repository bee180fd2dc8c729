"""The server in memory: connects clients, routes and stores what they publish, and breaks on demand.

server = MemoryServer(clock, ids)
connection = server.connect("alice")
server.cut("alice"); server.restore("alice"); server.kill("alice"); server.restart()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mesh.clock import SystemClock, SystemIds
from mesh.protocols.errors import Conflict, MeshError
from mesh.protocols.ports import Clock, Ids, Message
from mesh.transport.connection import Connection
from mesh.transport.memory.advisory import Occasion, advisory
from mesh.transport.memory.bus import MemoryBus
from mesh.transport.memory.faults import Faults
from mesh.transport.memory.router import Router
from mesh.transport.memory.storage import Storage
from mesh.transport.memory.store import MemoryStore

if TYPE_CHECKING:
    from mesh.transport.memory.log import Log


class MemoryServer:
    """One server. `latency` is how long a round trip's half takes; `account` names it in the advisories."""

    def __init__(
        self,
        clock: Clock | None = None,
        ids: Ids | None = None,
        *,
        latency: float = 0.0,
        max_payload: int = 1024 * 1024,
        account: str = "MESH",
    ) -> None:
        self.clock = clock or SystemClock()
        self.ids = ids or SystemIds(self.clock)
        self.latency = latency
        self.max_payload = max_payload
        self.account = account
        self.server_id = self._new_server_id()
        self.router = Router(self.ids.random)
        self.storage = Storage(self.clock)
        self.faults = Faults()
        self._clients = 0
        self._buses: list[MemoryBus] = []
        self._running = True

    def connect(self, name: str = "") -> Connection:
        """A new client."""
        bus = MemoryBus(self, name)
        self._buses.append(bus)
        return Connection(bus, MemoryStore(bus, self), name=name)

    # -- trouble on demand

    def cut(self, name: str, *, noticed: bool = True) -> None:
        """Every connection of that name is lost until `restore`. `noticed=False`: a partition, the server says nothing."""
        for bus in self._named(name):
            if bus.connected:
                identity = bus.client
                bus.lose()
                if noticed:
                    self._advise("DISCONNECT", bus, identity, "Read Error")

    def restore(self, name: str) -> None:
        """The connections of that name are back. Again: nothing happens."""
        for bus in self._named(name):
            bus.regain()

    def kill(self, name: str) -> None:
        """The clients of that name die on the spot, as by `kill -9`: nothing is flushed, the server notices at once."""
        for bus in self._named(name):
            bus.end("Client Closed")

    def stop(self) -> None:
        """The server is killed: every connection is lost, memory storage is gone. Again: nothing happens."""
        if not self._running:
            return
        self._running = False
        for bus in tuple(self._buses):
            bus.lose()
        self.storage.crash()

    def start(self) -> None:
        """The server is there again, under a new id, and everybody reconnects. Again: nothing happens."""
        if self._running:
            return
        self._running = True
        self.server_id = self._new_server_id()
        self.storage.start()
        for bus in tuple(self._buses):
            bus.regain()

    def restart(self) -> None:
        """`stop` and `start` at once: what a `kill -9` and a quick supervisor do."""
        self.stop()
        self.start()

    # -- for its clients

    def admit(self, bus: MemoryBus) -> tuple[str, int]:
        """A connection is made: its (server id, client id)."""
        self._clients += 1
        identity = (self.server_id, self._clients)
        self._advise("CONNECT", bus, identity)
        return identity

    def dismiss(self, bus: MemoryBus, reason: str) -> None:
        """A client is gone for good; without a `reason` it was cut off before and nobody is told twice."""
        if bus in self._buses:
            self._buses.remove(bus)
        if reason:
            self._advise("DISCONNECT", bus, bus.client, reason)

    @property
    def names(self) -> set[str]:
        """The names of the clients that are there, within reach or not."""
        return {bus.name for bus in self._buses}

    def route(self, message: Message, origin: MemoryBus | None) -> None:
        """Give a message to everybody who wants it and store it where a stream captures it."""
        if self.faults.passes(message, lambda: self._deliver(message, origin)):
            self._deliver(message, origin)

    def _deliver(self, message: Message, origin: MemoryBus | None) -> None:
        receivers = self.router.receivers(message.subject)
        for interest in receivers:
            interest.deliver(message)
        log = self.storage.capturing(message.subject)
        if log is not None:
            self._store(log, message)
        elif message.reply and not receivers and origin is not None:
            origin.hear_no_responders(message)

    def broadcast(self, message: Message) -> None:
        """Give a message to its subscribers only: it is stored elsewhere already."""
        for interest in self.router.receivers(message.subject):
            interest.deliver(message)

    def _store(self, log: Log, message: Message) -> None:
        """A plain publish into a stream: the PubAck goes to the reply subject, if there is one."""
        if self.faults.strikes("lose-append", message.subject):
            return
        try:
            ack = self.storage.append(log, message)
        except MeshError as error:
            code = 10071 if isinstance(error, Conflict) else error.detail.get("err_code", 0)
            body: dict[str, object] = {"error": {"code": 400, "err_code": code, "description": error.message}}
        else:
            body = {"stream": ack.stream, "seq": ack.sequence, **({"duplicate": True} if ack.duplicate else {})}
        if message.reply and not self.faults.strikes("lose-ack", message.subject):
            self.route(Message(message.reply, msgspec.json.encode(body)), None)

    def _advise(self, occasion: Occasion, bus: MemoryBus, identity: tuple[str, int], reason: str = "") -> None:
        self.broadcast(
            advisory(
                occasion,
                account=self.account,
                server_id=identity[0],
                client_id=identity[1],
                name=bus.name,
                now=self.clock.now(),
                started=bus.started,
                reason=reason,
            )
        )

    def _named(self, name: str) -> list[MemoryBus]:
        return [bus for bus in self._buses if bus.name == name]

    def _new_server_id(self) -> str:
        return f"N{self.ids.token().upper()}"
