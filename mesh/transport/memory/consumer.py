"""One client's hand in a durable consumer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import Stored

if TYPE_CHECKING:
    from mesh.transport.memory.bus import MemoryBus
    from mesh.transport.memory.durable import Durable
    from mesh.transport.memory.storage import Storage


class MemoryDelivery:
    """One message given to this client."""

    def __init__(self, bus: MemoryBus, durable: Durable, stored: Stored, attempts: int) -> None:
        self._bus = bus
        self._durable = durable
        self._stored = stored
        self._attempts = attempts

    @property
    def message(self) -> Stored:
        """What was stored."""
        return self._stored

    @property
    def attempts(self) -> int:
        """How many times it has been delivered, this one included."""
        return self._attempts

    async def ack(self) -> None:
        """It is done."""
        await self._bus.round_trip()
        self._durable.ack(self._stored.sequence)

    async def retry(self, after: float = 0.0) -> None:
        """Deliver it again, not before `after` seconds."""
        await self._bus.round_trip()
        self._durable.retry(self._stored.sequence, after)

    async def give_up(self) -> None:
        """Never deliver it again."""
        await self._bus.round_trip()
        self._durable.give_up(self._stored.sequence)

    async def working(self) -> None:
        """It takes longer."""
        await self._bus.round_trip()
        self._durable.working(self._stored.sequence)


class MemoryConsumer:
    """Pulls from a durable consumer, over reconnects."""

    def __init__(self, bus: MemoryBus, storage: Storage, stream: str, durable: Durable) -> None:
        self._bus = bus
        self._storage = storage
        self._stream = stream
        self._durable = durable
        self._changed = asyncio.Event()
        self._closed = False
        bus.waking(self._changed)

    async def next(self, timeout: float) -> MemoryDelivery | None:
        """The next message, or None when none came within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    taken = await self._attempt()
                    if taken is not None:
                        return MemoryDelivery(self._bus, self._durable, *taken)
        except TimeoutError:
            return None

    async def close(self) -> None:
        """Stop pulling. Again: nothing happens."""
        self._closed = True
        self._changed.set()
        self._bus.not_waking(self._changed)

    async def _attempt(self) -> tuple[Stored, int] | None:
        """One pull; None when the connection changed meanwhile and it must be made again."""
        self._changed.clear()
        self._check()
        if not self._bus.connected:
            await self._changed.wait()
            return None
        await asyncio.sleep(0)
        place = self._durable.wait()
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((place, change), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._durable.leave(place)
            raise
        finally:
            change.cancel()
        if place.done() and not place.cancelled():
            return place.result()
        self._durable.leave(place)
        return None

    def _check(self) -> None:
        self._bus.check_open()
        if self._closed:
            raise Unavailable(f"the consumer {self._durable.name} of {self._stream} is closed here")
