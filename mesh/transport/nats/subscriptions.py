"""The subscriptions of one connection, and how what arrives for them becomes messages."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mesh.protocols.ports import Message, Subscription
from mesh.transport.listeners import call_message_handler
from mesh.transport.matching import matches
from mesh.transport.nats.parser import Receiver
from mesh.transport.nats.received import means_nobody, message_of
from mesh.transport.nats.wire import Wire

log = logging.getLogger("mesh.transport")

Handler = Callable[[Message], None]


class NatsSubscription(Subscription):
    """A running subscription."""

    def __init__(self, all_of_them: Subscriptions, sid: int) -> None:
        self._all = all_of_them
        self._sid = sid

    async def close(self) -> None:
        """Stop it. Again: nothing happens."""
        self.stop()

    def stop(self) -> None:
        """Stop it without waiting: the server knows before anything that is published after this."""
        self._all.end(self._sid)

    def leave(self) -> None:
        """Stop it without waiting, but still hear what the server has sent by the time it knows."""
        self._all.leave(self._sid)


class Subscriptions:
    """Who listens to what over one wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._handlers: dict[int, tuple[str, Handler]] = {}

    def add(self, subject: str, queue: str, handler: Handler) -> NatsSubscription:
        """Listen; the server knows before anything that is published after this."""
        sid = self._wire.listen(subject, queue, self._receiver(handler))
        self._handlers[sid] = (subject, handler)
        return NatsSubscription(self, sid)

    def receive(self, subject: str, receiver: Receiver) -> NatsSubscription:
        """Listen, and have the receiver told directly: it must not raise."""
        return NatsSubscription(self, self._wire.listen(subject, "", receiver))

    def end(self, sid: int) -> None:
        """Listen no more. Again: nothing happens."""
        self._handlers.pop(sid, None)
        self._wire.unlisten(sid)

    def leave(self, sid: int) -> None:
        """Listen only to what the server has sent by the time it knows. Again: nothing happens."""
        self._handlers.pop(sid, None)
        self._wire.leave(sid)

    def _receiver(self, handler: Handler) -> Receiver:
        def receive(subject: bytes, reply: bytes, block: bytes, data: bytes) -> None:
            message = message_of(subject, reply, block, data)
            if block and means_nobody(block, data):
                self._tell_everybody(message)
                return
            try:
                handler(message)
            except Exception:
                log.exception("a handler of %s raised; the subscription goes on", message.subject)

        return receive

    def _tell_everybody(self, message: Message) -> None:
        """The server gives its 503 to only one of the subscriptions that match: here all of them get it."""
        for pattern, handler in list(self._handlers.values()):
            if matches(pattern, message.subject):
                call_message_handler(handler, message)
