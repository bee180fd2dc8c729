"""A lane: an inbox on which one pull at a time is answered, so that each message that comes is known to be of that pull."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from mesh.protocols.ports import Message
from mesh.transport.headers import DESCRIPTION
from mesh.transport.nats.api import NANOSECONDS
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.stored import status

HEARTBEAT = 2.0
SILENCE = 5.0
"""Seconds without a message or a heartbeat after which a pull is given up."""
GRACE = 1.0
"""Seconds that a pull's end may be late."""


class Lane:
    """One inbox. `left` is how many messages its open pull may still bring; 0: none is open."""

    def __init__(
        self, bus: NatsBus, arrived: Callable[[Lane, Message], None], ended: Callable[[Lane, str, str], None]
    ) -> None:
        self.left = 0
        self._bus = bus
        self._arrived = arrived
        self._ended = ended
        self._inbox = bus.inbox()
        self._subscription = bus.listen(f"{self._inbox}.*", self._hear)
        self._pulled = 0
        self._reply = ""
        self._until = 0.0
        self._heard = False
        self._silent_since = 0.0

    def pull(self, verb: str, batch: int, expires: float) -> None:
        """Ask for so many messages, for so many seconds. Only when none is open."""
        request: dict[str, Any] = {"batch": batch, "expires": int(expires * NANOSECONDS)}
        if expires >= 2 * HEARTBEAT:
            request["idle_heartbeat"] = int(HEARTBEAT * NANOSECONDS)
        self._pulled += 1
        self._reply = f"{self._inbox}.{self._pulled}"
        self._bus.publish(verb, msgspec.json.encode(request), reply=self._reply)
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

    def _hear(self, message: Message) -> None:
        """A message, under its own subject; or what the server says of a pull."""
        code = status(message)
        if not code:
            self._heard = True
            self._arrived(self, message)
        elif message.subject == self._reply and self.left:
            if code == "100":
                self._heard = True
            else:
                self._ended(self, code, (message.headers or {}).get(DESCRIPTION, ""))
