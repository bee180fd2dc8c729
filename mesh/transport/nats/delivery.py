"""`Delivery` over a real server: a message of a durable consumer, and what can be said of it."""

from __future__ import annotations

from mesh.protocols.ports import Stored
from mesh.transport.nats.acks import ACK_WITHIN, Acks
from mesh.transport.nats.api import NANOSECONDS
from mesh.transport.nats.bus import NatsBus


class NatsDelivery:
    """One message given to us. Every answer is confirmed by the server, and may be given again."""

    __slots__ = ("_acks", "_attempts", "_bus", "_reply", "_stored")

    def __init__(self, bus: NatsBus, acks: Acks, reply: bytes, attempts: int, stored: Stored) -> None:
        self._bus = bus
        self._acks = acks
        self._reply = reply
        self._attempts = attempts
        self._stored = stored

    @property
    def message(self) -> Stored:
        """What was stored."""
        return self._stored

    @property
    def attempts(self) -> int:
        """How many times it has been delivered, this one included."""
        return self._attempts

    async def ack(self) -> None:
        """It is done.

        Raises:
            TimedOut · Unavailable · NoResponders: the server may not know; then it comes again.
        """
        await self._acks.gather(self._reply)

    async def retry(self, after: float = 0.0) -> None:
        """Deliver it again, not before `after` seconds."""
        delay = b' {"delay": %d}' % int(after * NANOSECONDS) if after > 0 else b""
        await self._say(b"-NAK" + delay)

    async def give_up(self) -> None:
        """Never deliver it again."""
        await self._say(b"+TERM")

    async def working(self) -> None:
        """It takes longer: start its redelivery timer afresh."""
        await self._say(b"+WPI")

    def give_back(self) -> None:
        """Nobody here has looked at it: deliver it again. Not confirmed; at worst it comes again after its time."""
        if self._bus.connected:
            self._bus.answer((self._reply,), b"-NAK")

    async def _say(self, what: bytes) -> None:
        await self._bus.request(self._reply.decode(), what, timeout=ACK_WITHIN)
