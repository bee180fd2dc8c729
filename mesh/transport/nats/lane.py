"""A lane: an inbox on which one pull at a time is answered, so that each message that comes is known to be of that pull."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from mesh.protocols.ports import Stored
from mesh.transport.nats.api import NANOSECONDS
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.stored import DELIVERED, STATUS_LINE, Position, from_delivery, position

log = logging.getLogger("mesh.transport")

HEARTBEAT = 2.0
SILENCE = 5.0
"""Seconds without a message or a heartbeat after which a pull is given up."""
GRACE = 1.0
"""Seconds that a pull's end may be late."""


class Lane:
    """One inbox. `left` is how many messages its open pull may still bring; 0: none is open."""

    def __init__(
        self, bus: NatsBus, arrived: Callable[[Lane, Position, bytes, Stored], None], ended: Callable[[Lane, str], None]
    ) -> None:
        self.left = 0
        self._bus = bus
        self._arrived = arrived
        self._ended = ended
        self._inbox = bus.inbox()
        self._subscription = bus.receive(f"{self._inbox}.*", self._receive)
        self._pulled = 0
        self._reply = b""
        self._until = 0.0
        self._heard = False
        self._silent_since = 0.0

    def pull(self, verb: str, batch: int, expires: float) -> None:
        """Ask for so many messages, for so many seconds. Only when none is open."""
        request: dict[str, Any] = {"batch": batch, "expires": int(expires * NANOSECONDS)}
        if expires >= 2 * HEARTBEAT:
            request["idle_heartbeat"] = int(HEARTBEAT * NANOSECONDS)
        self._pulled += 1
        reply = f"{self._inbox}.{self._pulled}"
        self._reply = reply.encode()
        self._bus.publish(verb, msgspec.json.encode(request), reply=reply)
        self.left = batch
        self._silent_since = self._bus.clock.monotonic()
        self._until = self._silent_since + expires

    def overdue(self, now: float) -> bool:
        """Whether the open pull should have ended, or has gone silent. Ask once in a while."""
        if self._heard:
            self._heard, self._silent_since = False, now
        return now > self._until + GRACE or now - self._silent_since > SILENCE

    def leave(self) -> None:
        """The server forgets the open pull; what it has sent by then is still heard."""
        self.left = 0
        self._subscription.leave()

    def _receive(self, subject: bytes, reply: bytes, block: bytes, data: bytes) -> None:
        """A message, under its own subject; or what the server says of a pull."""
        try:
            if reply.startswith(DELIVERED):
                self._heard = True
                where = position(reply)
                self._arrived(self, where, reply, from_delivery(where, subject, block, data))
            elif subject == self._reply and self.left:
                self._hear(block[len(STATUS_LINE) :].partition(b"\r\n")[0].decode())
        except Exception:
            log.exception("a message for a consumer could not be taken in; it comes again after its time")

    def _hear(self, words: str) -> None:
        if words.startswith("100"):
            self._heard = True
        else:
            self._ended(self, words)
