"""The TCP or TLS connection under nats-py: lines while the two greet each other, then every byte pushed to the parser.

nats-py's own has a `StreamReader` in between, and a task that is woken for each piece. Here the event loop calls the parser
itself. nats-py opens the connection, upgrades it to TLS, logs in and closes it; `stream` is where we take over.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Iterable
from typing import cast
from urllib.parse import ParseResult

from mesh.transport.nats.internals import Transport
from mesh.transport.nats.library import Error, UnexpectedEOF
from mesh.transport.nats.parser import MalformedFrame

log = logging.getLogger("mesh.transport")

LONGEST_GREETING = 1024 * 1024
"""Bytes of a line that we wait for while greeting."""
SOCKET_HIGH = 4 * 1024 * 1024
"""Bytes the socket may owe us before we stop giving it more."""
FULL_READ = 128 * 1024
"""A read of so many bytes means that more were waiting: we are slower than the server."""
SLICE = 32 * 1024
"""Bytes that are dealt with between two looks at the time."""
TURN = 0.002
"""Seconds of one turn of the event loop that what arrives may take before others have their turn."""
BEHIND_FOR = 1.0
"""Seconds after such a read during which we count as behind."""

Feed = Callable[[bytes], None]


class Inlet(asyncio.Protocol):
    """What the event loop tells about one connection."""

    def __init__(self, can_write: Callable[[bool], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._can_write = can_write
        self._transport: asyncio.Transport | None = None
        self._kept = bytearray()
        """What nobody has taken yet."""
        self._waiting: list[asyncio.Future[None]] = []
        self._feed: Feed | None = None
        self._full_read_at = float("-inf")
        self._paused = False
        self.ended: asyncio.Future[Exception] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.writable = True

    # -- told by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=SOCKET_HIGH)

    def data_received(self, data: bytes) -> None:
        """Bytes have come; a parser that cannot read them ends the connection."""
        if self._feed is None or self._paused:
            self._kept += data
            self._wake()
        elif len(data) <= SLICE:
            self._take(data)
        else:
            self._take_in_turns(data)

    def eof_received(self) -> bool:
        """The server has closed its side."""
        self.end(UnexpectedEOF())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self.end(exc or UnexpectedEOF())
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """The socket owes us enough."""
        self.writable = False
        self._can_write(False)

    def resume_writing(self) -> None:
        """The socket takes more again."""
        self.writable = True
        self._wake()
        self._can_write(True)

    # -- asked by the transport

    @property
    def transport(self) -> asyncio.Transport:
        """The event loop's side."""
        assert self._transport is not None, "not connected yet"
        return self._transport

    @property
    def behind(self) -> bool:
        """Whether the server has lately had more for us than we could take at once."""
        return time.monotonic() - self._full_read_at < BEHIND_FOR

    async def line(self) -> bytes:
        """The next line of the greeting; at the end of the connection what there is of it.

        Raises:
            MalformedFrame: it is too long.
        """
        while (end := self._kept.find(b"\n") + 1) == 0 and not self.ended.done():
            if len(self._kept) > LONGEST_GREETING:
                raise MalformedFrame("the server greets without an end")
            await self._something_new()
        cut = end or len(self._kept)
        line = bytes(self._kept[:cut])
        del self._kept[:cut]
        return line

    async def drain(self) -> None:
        """Wait until the socket takes more.

        Raises:
            ConnectionResetError: it never will.
        """
        while not self.writable and not self.ended.done():
            await self._something_new()
        if self.ended.done():
            raise ConnectionResetError("the connection is lost")

    async def stream(self, feed: Feed, early: bytes) -> Exception:
        """Push everything to `feed`, `early` first, until the connection ends; returns why it did."""
        early += self._kept
        self._kept.clear()
        self._feed = feed
        try:
            if early:
                self.data_received(early)
            return await asyncio.shield(self.ended)
        finally:
            self._feed = _nowhere

    def end(self, error: Exception) -> None:
        """Nothing that still comes is of interest. Again: the first reason stands."""
        self._feed = _nowhere
        if not self.ended.done():
            self.ended.set_result(error)
        self._wake()

    def _take(self, data: bytes) -> None:
        assert self._feed is not None, "nothing is taken before there is somebody who takes it"
        try:
            self._feed(data)
        except Error as error:
            self.end(error)
        except Exception as error:
            log.exception("what arrived could not be dealt with; the connection is made anew")
            self.end(error)

    def _take_in_turns(self, data: bytes) -> None:
        """Much has come, and others want the loop, too: a turn's worth of it now, the rest in the next turns.

        Nothing is read meanwhile, nor right after a full read: uvloop reads up to 32 times before it does anything else.
        """
        began, taken = time.monotonic(), 0  # not the loop's time: uvloop's stands still while handlers run
        while taken < len(data):
            self._take(data[taken : taken + SLICE])
            taken += SLICE
            if time.monotonic() - began >= TURN:
                break
        if len(data) >= FULL_READ:
            self._full_read_at = time.monotonic()
        if taken < len(data) or len(data) >= FULL_READ:
            self._pause()
            self._loop.call_soon(self._go_on, data[taken:])
        else:
            self._resume()

    def _go_on(self, rest: bytes) -> None:
        rest += self._kept
        self._kept.clear()
        if rest:
            self._take_in_turns(rest)
        else:
            self._resume()

    def _pause(self) -> None:
        if not self._paused and not self.ended.done():
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self.ended.done():
            self._paused = False
            self.transport.resume_reading()

    async def _something_new(self) -> None:
        news: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(news)
        await news

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            if not news.done():
                news.set_result(None)


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
        """Give bytes to the socket."""
        self._open.transport.write(payload)

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


def _nowhere(_: bytes) -> None:
    """Where bytes go that come after the end."""
