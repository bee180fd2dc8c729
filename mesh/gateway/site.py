"""`Site`: the listening socket, with a bound on how many connections there are and how long each may keep us waiting."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from asyncio.trsock import TransportSocket
from types import TracebackType

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mesh.gateway.address import Address
from mesh.gateway.app import build
from mesh.gateway.gateway import Gateway
from mesh.protocols.errors import Unavailable

_HANDSHAKE = 10.0
_BACKLOG = 256
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Site:
    """For `async with`: listens, and at the end lets what is under way finish within the limit's grace."""

    def __init__(self, gateway: Gateway, address: Address) -> None:
        self.gateway = gateway
        self._address = address
        self._limits = gateway.limits
        self._app = build(gateway)
        self._runner = web.AppRunner(
            self._app,
            access_log=None,
            logger=_logger(),
            keepalive_timeout=self._limits.idle,
            max_line_size=self._limits.line,
            max_field_size=self._limits.line,
            max_headers=self._limits.headers,
            lingering_time=self._limits.linger,
            auto_decompress=False,
            shutdown_timeout=self._limits.grace,
        )
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens, the real port in it."""
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"{self._address.scheme}://{host}:{self.port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def routes(self) -> list[web.AbstractRoute]:
        """What is served."""
        return list(self._app.router.routes())

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        server = self._runner.server
        return len(server.connections) if server is not None else 0

    async def __aenter__(self) -> Site:
        tls = self._address.tls()
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._protocol,
                self._address.host,
                self._address.port,
                ssl=tls,
                ssl_handshake_timeout=_HANDSHAKE if tls else None,
                backlog=_BACKLOG,
            )
        except OSError as error:
            await self._runner.cleanup()
            raise Unavailable(
                f"the gateway cannot listen on {self._address.host}:{self._address.port}: {error.strerror or error}"
            ) from None
        for each in self._server.sockets:
            self._bound_writing(each)
        return self

    def _bound_writing(self, listening: socket.socket | TransportSocket) -> None:
        """A connection whose other end takes nothing for so long is ended by the kernel, where it can: else whoever asks and
        never reads holds it for ever. Those that are accepted inherit it."""
        if sys.platform == "linux":
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._limits.write * 1000))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nobody new comes in; those who wait for a job are told to come back; the rest is finished."""
        self.gateway.stopping.set()
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _protocol(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        if server is None or self.connections >= self._limits.connections:
            return _Full()
        return server()


class _Full(asyncio.Protocol):
    """What a connection gets that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_FULL)
        transport.close()


def _logger() -> logging.Logger:
    logger = logging.getLogger("mesh.gateway.http")
    if _is_news not in logger.filters:
        logger.addFilter(_is_news)
    return logger


def _is_news(record: logging.LogRecord) -> bool:
    """Not what somebody sent that is no HTTP: they were told, and it may hold what belongs into no log."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)
