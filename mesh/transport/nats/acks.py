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
        self._gathered: list[tuple[str, asyncio.Future[None]]] = []

    async def ack(self, reply: str) -> None:
        """Acknowledge the message with this reply subject, and wait until the server has heard it.

        Raises:
            TimedOut · Unavailable · NoResponders: the server may not know.
        """
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[None] = loop.create_future()
        if not self._gathered:
            loop.call_soon(self._send)
        self._gathered.append((reply, heard))
        await heard

    def _send(self) -> None:
        gathered, self._gathered = self._gathered, []
        waiting = [heard for _, heard in gathered]
        last, _ = gathered.pop()
        try:
            self._bus.check_connected()
            for reply, _ in gathered:
                self._bus.publish(reply, _ACK)
            answer = self._bus.ask(last, _ACK, timeout=ACK_WITHIN)
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
