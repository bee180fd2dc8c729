"""A WebSocket under the fast wire: nats-py's own connection, read in a loop into the same parser."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mesh.transport.nats.inlet import SOCKET_HIGH
from mesh.transport.nats.internals import Transport
from mesh.transport.nats.library import Error, UnexpectedEOF

log = logging.getLogger("mesh.transport")

ANY_SIZE = 0
"""A WebSocket message is read whole, whatever one asks for."""


class WebSocketStream:
    """Reads and writes a WebSocket that nats-py has opened. Its own queue takes everything: `can_write` is told when there is much
    in it, and when it is empty again."""

    def __init__(self, transport: Transport, can_write: Callable[[bool], None]) -> None:
        self._transport = transport
        self._can_write = can_write
        self._queued = 0
        self._sending: asyncio.Task[None] | None = None

    def write(self, data: bytes) -> None:
        """Send bytes behind those that are being sent already."""
        self._transport.write(data)
        self._queued += len(data)
        if self._queued > SOCKET_HIGH:
            self._can_write(False)
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send(), name="websocket")

    async def stream(self, feed: Callable[[bytes], None]) -> Exception:
        """Push everything to `feed` until the connection ends; returns why it did."""
        try:
            while data := await self._transport.read(ANY_SIZE):
                feed(data)
        except (OSError, Error) as error:
            return error
        return UnexpectedEOF()

    async def _send(self) -> None:
        try:
            await self._transport.drain()  # type: ignore[no-untyped-call]
        except OSError as error:
            log.debug("the WebSocket broke while it was written: %s", error)
            return
        finally:
            self._sending = None
        full, self._queued = self._queued > SOCKET_HIGH, 0
        if full:
            self._can_write(True)
