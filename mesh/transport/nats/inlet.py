"""What the event loop tells about one connection: lines while nats-py and the server greet each other, then a stream.

A stream is pushed to the parser, in turns that leave the loop to others when much arrives at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import cast

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
    def gone(self) -> bool:
        """Whether the connection has ended, or is about to: the event loop tells of it a turn later."""
        return self.ended.done() or self.transport.is_closing()

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
        if not self._paused and not self.gone:
            self._paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self.gone:
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


def _nowhere(_: bytes) -> None:
    """Where bytes go that come after the end."""
