"""The TCP or TLS connection under nats-py: lines while the two greet each other, then every byte pushed to the parser.

nats-py's own has a `StreamReader` in between, and a task that is woken for each piece. Here the event loop calls the parser
itself. nats-py opens the connection, upgrades it to TLS, logs in and closes it; `stream` is where we take over.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from urllib.parse import ParseResult

from mesh.transport.nats.inlet import Feed, Inlet
from mesh.transport.nats.internals import Transport


class SocketTransport(Transport):
    """nats-py's idea of a connection. `can_write` is told when the socket takes no more, and when it does again."""

    def __init__(self, can_write: Callable[[bool], None]) -> None:
        self._can_write = can_write
        self._inlet: Inlet | None = None
        self._greeted = False
        self._set_aside = b""

    # -- for nats-py

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: float) -> None:
        """Open a TCP connection; an earlier one that is still there is left."""
        self.abort()
        inlet = Inlet(self._can_write)
        async with asyncio.timeout(connect_timeout):
            await asyncio.get_running_loop().create_connection(lambda: inlet, uri.hostname or "", uri.port or 0)
        self._inlet = inlet
        self._greeted = False
        self._set_aside = b""

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: float
    ) -> None:
        """Speak TLS from now on; what came in the clear is forgotten."""
        inlet = Inlet(self._can_write)
        host = uri if isinstance(uri, str) else uri.hostname
        try:
            async with asyncio.timeout(connect_timeout):
                secure = await asyncio.get_running_loop().start_tls(
                    self._open.transport, inlet, ssl_context, server_hostname=host
                )
        except BaseException:
            self._open.connection_lost(None)  # the event loop does not tell it any more
            raise
        if secure is None:
            raise ConnectionResetError("the connection was lost during the TLS handshake")
        inlet.connection_made(secure)
        self._inlet = inlet

    def write(self, payload: bytes) -> None:
        """Give bytes to the socket.

        Raises:
            ConnectionResetError: it is closed, or about to be, and took nothing. The event loops themselves would drop them in
                silence, or raise a `RuntimeError`.
        """
        inlet = self._open
        if inlet.gone:
            raise ConnectionResetError("the connection is lost")
        inlet.transport.write(payload)

    def writelines(self, payload: Iterable[bytes]) -> None:
        """Give bytes to the socket."""
        self.write(b"".join(payload))

    async def readline(self) -> bytes:
        """The next line of the greeting. News of the server that come between are kept for the parser."""
        line = await self._open.line()
        while self._greeted and line.startswith(b"INFO"):
            self._set_aside += line
            line = await self._open.line()
        self._greeted = True
        return line

    async def read(self, buffer_size: int) -> bytes:
        """Not here: see `stream`."""
        raise NotImplementedError("what arrives is pushed, not read")

    async def drain(self) -> None:
        """Wait until the socket takes more."""
        await self._open.drain()

    def close(self) -> None:
        """Close it once everything has left."""
        if self._inlet is not None:
            self._inlet.transport.close()

    async def wait_closed(self) -> None:
        """Wait until it is closed."""
        if self._inlet is not None:
            await asyncio.shield(self._inlet.closed)

    def at_eof(self) -> bool:
        """Whether it has ended."""
        return self._inlet is None or self._inlet.ended.done()

    def __bool__(self) -> bool:
        return True

    # -- for us

    @property
    def behind(self) -> bool:
        """Whether the server has lately had more for us than we could take at once."""
        return self._inlet is not None and self._inlet.behind

    async def stream(self, feed: Feed) -> Exception:
        """Push everything that arrives to `feed` until the connection ends; returns why it did."""
        early, self._set_aside = self._set_aside, b""
        return await self._open.stream(feed, early)

    def abort(self) -> None:
        """Close it now, whatever has not left yet. Again: nothing happens."""
        if self._inlet is not None:
            self._inlet.transport.abort()

    @property
    def _open(self) -> Inlet:
        if self._inlet is None:
            raise ConnectionResetError("not connected")
        return self._inlet
