"""`Door`: where connections come in. Each counts from the moment it is accepted until it is lost, its TLS handshake included."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import sys

from aiohttp import web

from mesh.gateway.limits import Limits

_HANDSHAKE = 10.0
_BACKLOG = 256
_PAUSE = 1.0
"""Seconds until the next try where the system has no room for another connection."""
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

logger = logging.getLogger("mesh.gateway")


class Door:
    """`open` it, and `close` it: what has come in by then stays."""

    def __init__(self, server: web.Server, tls: ssl.SSLContext | None, limits: Limits) -> None:
        self._server = server
        self._tls = tls
        self._limits = limits
        self._listening: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._arriving: dict[web.RequestHandler, asyncio.Task[None]] = {}

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listening[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        return len({*self._arriving, *self._server.connections})

    async def open(self, host: str, port: int) -> None:
        """Listen on every address that the host has.

        Raises:
            OSError: one of them cannot be had.
        """
        loop = asyncio.get_running_loop()
        bound = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
        self._listening = [each.dup() for each in bound.sockets]
        bound.close()
        for each in self._listening:
            self._bound_writing(each)
            each.listen(_BACKLOG)
            self._accepting.append(loop.create_task(self._accept(each), name="gateway door"))

    async def close(self) -> None:
        """Nobody new comes in; who is in the middle of a handshake does not, either. Again: nothing happens."""
        for tasks in (self._accepting, [*self._arriving.values()]):
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for listening in self._listening:
            listening.close()

    def _bound_writing(self, listening: socket.socket) -> None:
        """A connection whose other end takes nothing for so long is ended by the kernel, where it can: else whoever asks and
        never reads holds it for ever. Those that are accepted inherit it."""
        if sys.platform == "linux":
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._limits.write * 1000))

    async def _accept(self, listening: socket.socket) -> None:
        """One after the other, and between two of them whoever is in already has a turn."""
        while True:
            try:
                arrived, _ = await asyncio.get_running_loop().sock_accept(listening)
            except ConnectionAbortedError:  # gone while it stood in the line
                continue
            except OSError as error:
                logger.warning("no connection can be accepted for %g s: %s", _PAUSE, error)
                await asyncio.sleep(_PAUSE)
                continue
            if self.connections < self._limits.connections:
                self._take(arrived)
            else:
                self._refuse(arrived)
            await asyncio.sleep(0)

    def _take(self, arrived: socket.socket) -> None:
        handler = self._server()
        self._arriving[handler] = asyncio.get_running_loop().create_task(self._let_in(arrived, handler))

    async def _let_in(self, arrived: socket.socket, handler: web.RequestHandler) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: handler, arrived, ssl=self._tls, ssl_handshake_timeout=_HANDSHAKE if self._tls else None
            )
        except OSError as error:
            logger.debug("a connection came to nothing: %s", error)
        finally:
            del self._arriving[handler]

    def _refuse(self, arrived: socket.socket) -> None:
        """It is told so where that costs nothing: with TLS, it would be a handshake first."""
        with arrived, contextlib.suppress(OSError):  # whoever is gone already need not be told
            if self._tls is None:
                arrived.send(_FULL)
