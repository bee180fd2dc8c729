"""`Cluster`: three real nats-servers on the loopback, each reached by the others over cables that can be cut.

A route goes from each server to each of the others over a port of its own; what they tell one another of further ways in
(`advertise`) leads nowhere. So the cables are all there is between two servers.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import msgspec

from mesh.protocols.errors import MeshError
from mesh.settings.target import target_of
from mesh.transport.connection import connect
from mesh.transport.nats.api import call
from mesh.transport.nats.bus import NatsBus
from tests.faults.cable import Cable
from tests.servers import RealServer, free_port

READY_WITHIN = 120.0
NOWHERE = "127.0.0.1:1"
_CLUSTER = """
cluster {{
  name: mesh-test
  listen: "127.0.0.1:{port}"
  advertise: "{advertise}"
  no_advertise: true
  routes: [ {routes} ]
  pool_size: 1
  ping_interval: "{ping}"
  connect_backoff: true
}}
"""


class _Peers(msgspec.Struct, frozen=True):
    leader: str = ""


class _Info(msgspec.Struct):
    cluster: _Peers = _Peers()


class Cluster:
    """`async with Cluster(folder) as cluster: … cluster.url …`; servers are `a`, `b` and `c`."""

    def __init__(self, folder: Path, *, size: int = 3, ping: str = "2s") -> None:
        self._names = "abcde"[:size]
        self._ports = {name: free_port() for name in self._names}
        self._cables: dict[tuple[str, str], Cable] = {}
        self._folder = folder
        self._ping = ping
        self.servers: dict[str, RealServer] = {}

    @property
    def url(self) -> str:
        """All of them, for a client that takes whichever answers."""
        return ",".join(server.url for server in self.servers.values())

    async def __aenter__(self) -> Cluster:
        for one in self._names:
            for other in self._names:
                if one != other:
                    self._cables[one, other] = await Cable(self._ports[other]).__aenter__()
        for name in self._names:
            self.servers[name] = RealServer(self._folder / name, name=name, more=self._configuration(name))
        try:
            await asyncio.gather(*(asyncio.to_thread(server.start) for server in self.servers.values()))
            await self.ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self.servers.values():
            server.kill()
        for cable in self._cables.values():
            await cable.__aexit__()

    def kill(self, name: str) -> None:
        """`kill -9` one of them."""
        self.servers[name].kill()

    async def start(self, *names: str) -> None:
        """Start these again; returns once they greet clients."""
        await asyncio.gather(*(asyncio.to_thread(self.servers[name].start) for name in names))

    def isolate(self, name: str, *, hears: bool = False, is_heard: bool = False) -> None:
        """Cut a server off from the others, in silence; `hears` or `is_heard`: one way only."""
        for (one, other), cable in self._cables.items():
            if one == name:
                cable.sever(forth=not is_heard, back=not hears)
            elif other == name:
                cable.sever(forth=not hears, back=not is_heard)

    def mend(self) -> None:
        """Every cable is whole again."""
        for cable in self._cables.values():
            cable.mend()

    async def ready(self, *, within: float = READY_WITHIN) -> float:
        """Until the cluster stores something; how many seconds that took."""
        began = time.monotonic()
        async with asyncio.timeout(within):
            while True:
                try:
                    async with await connect(target_of(self.url, "the test"), name="probe", timeout=2) as probe:
                        bus = probe.bus
                        assert isinstance(bus, NatsBus)
                        config = {
                            "name": f"probe{os.getpid()}",
                            "subjects": ["probe"],
                            "num_replicas": len(self._names),
                        }
                        await call(bus, f"STREAM.CREATE.{config['name']}", config, timeout=2)
                        await call(bus, f"STREAM.DELETE.{config['name']}", timeout=2)
                    return time.monotonic() - began
                except MeshError:
                    await asyncio.sleep(0.1)

    def _configuration(self, name: str) -> str:
        cables = [cable.url for (one, _), cable in self._cables.items() if one == name]
        routes = ", ".join(f'"{url.replace("nats://", "nats-route://")}"' for url in cables)
        return _CLUSTER.format(port=self._ports[name], advertise=NOWHERE, routes=routes, ping=self._ping)


async def leader_of(bus: NatsBus, stream: str) -> str:
    """The server that leads the stream; empty while there is none."""
    try:
        return msgspec.json.decode(await call(bus, f"STREAM.INFO.{stream}", timeout=2), type=_Info).cluster.leader
    except MeshError:
        return ""
