"""Acknowledgements of one consumer: those of one turn of the loop are confirmed together.

A server handles what is said of a consumer's messages in the order it comes. So only the last acknowledgement of a turn asks
for an answer, and that answer says that all of them have been heard.
"""

from __future__ import annotations

import asyncio

from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Message
from mesh.transport.nats.bus import NatsBus

ACK_WITHIN = 5.0
_ACK = b"+ACK"


class Acks:
    """What has been acknowledged in this turn of the loop and not been sent."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self._replies: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []

    def gather(self, reply: bytes) -> asyncio.Future[None]:
        """Acknowledge the message with this reply subject; done when the server has heard it.

        It fails with TimedOut, Unavailable or NoResponders when the server may not know.
        """
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[None] = loop.create_future()
        if not self._replies:
            loop.call_soon(self._send)
        self._replies.append(reply)
        self._waiting.append(heard)
        return heard

    def _send(self) -> None:
        replies, self._replies = self._replies, []
        waiting, self._waiting = self._waiting, []
        last = replies.pop()
        try:
            self._bus.check_connected()
            self._bus.answer(replies, _ACK)
            answer = self._bus.ask(last.decode(), _ACK, timeout=ACK_WITHIN)
        except MeshError as error:
            _fail(waiting, error)
        else:
            answer.add_done_callback(lambda answer: _settle(waiting, answer))


def _settle(waiting: list[asyncio.Future[None]], answer: asyncio.Future[Message]) -> None:
    error = answer.exception()
    if error is not None:
        _fail(waiting, error)
        return
    for heard in waiting:
        if not heard.done():
            heard.set_result(None)


def _fail(waiting: list[asyncio.Future[None]], error: BaseException) -> None:
    for heard in waiting:
        if not heard.done():
            heard.set_exception(error)
