"""One connection: the two handles `bus` and `store`, and `connect`, which makes them over a real server.

nats-py is imported when `connect` is called, not before: programs that stay in memory never load it.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Literal

from mesh.clock import SystemClock, SystemIds
from mesh.protocols.ports import Bus, Clock, Ids, Store

if TYPE_CHECKING:
    from mesh.settings.target import ServerTarget


class Connection:
    """A `Bus` and a `Store` that live and end together."""

    def __init__(self, bus: Bus, store: Store, *, name: str = "") -> None:
        self.bus = bus
        self.store = store
        self.name = name

    async def close(self) -> None:
        """Flush what can be flushed, then close both. Again: nothing happens."""
        await self.bus.close()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def connect(
    target: ServerTarget,
    *,
    name: str = "",
    clock: Clock | None = None,
    ids: Ids | None = None,
    replicas: int | None = None,
    timeout: float = 5.0,
    wire: Literal["fast", "plain"] | None = None,
) -> Connection:
    """Connect to a server; from then on the connection looks after itself and reconnects for as long as it takes.

    `name` is what the server shows people; `replicas` is for streams and buckets created over this connection; when not
    given, `MESH_REPLICAS` says so, and it is 3 in a cluster and 1 elsewhere. `wire` is how messages travel, `fast` or by
    `plain` nats-py; when not given, `MESH_WIRE` says so, and it is `fast` otherwise.

    Raises:
        Unavailable: no server answered within `timeout` seconds, or it refused the credentials; the message says which
            server was tried, where that setting came from, and what to do.
    """
    from mesh.settings.choices import replicas_choice
    from mesh.transport.nats.bus import NatsBus
    from mesh.transport.nats.store import NatsStore

    clock = clock or SystemClock()
    ids = ids or SystemIds(clock)
    replicas = replicas_choice() if replicas is None else replicas
    bus = await NatsBus.connect(target, name=name, clock=clock, ids=ids, timeout=timeout, wire=wire)
    return Connection(bus, NatsStore(bus, clock, ids, replicas=replicas), name=name)
