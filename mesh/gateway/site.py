"""`Site`: what listens, with a bound on how many connections there are and how long each may keep us waiting."""

from __future__ import annotations

import logging
from types import TracebackType

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mesh.gateway.address import Address
from mesh.gateway.app import build
from mesh.gateway.door import Door
from mesh.gateway.gateway import Gateway
from mesh.protocols.errors import Unavailable


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
        self._door: Door | None = None

    @property
    def url(self) -> str:
        """Where it listens, the real port in it."""
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"{self._address.scheme}://{host}:{self.port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._door is not None
        return self._door.port

    @property
    def routes(self) -> list[web.AbstractRoute]:
        """What is served."""
        return list(self._app.router.routes())

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        return self._door.connections if self._door is not None else 0

    async def __aenter__(self) -> Site:
        tls = self._address.tls()
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        self._door = Door(server, tls, self._limits)
        try:
            await self._door.open(self._address.host, self._address.port)
        except OSError as error:
            await self._door.close()
            await self._runner.cleanup()
            raise Unavailable(
                f"the gateway cannot listen on {self._address.host}:{self._address.port}: {error.strerror or error}"
            ) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nobody new comes in; those who wait for a job are told to come back; the rest is finished."""
        self.gateway.stopping.set()
        if self._door is not None:
            await self._door.close()
        await self._runner.cleanup()


def _logger() -> logging.Logger:
    logger = logging.getLogger("mesh.gateway.http")
    if _is_news not in logger.filters:
        logger.addFilter(_is_news)
    return logger


def _is_news(record: logging.LogRecord) -> bool:
    """Not what somebody sent that is no HTTP: they were told, and it may hold what belongs into no log."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)
