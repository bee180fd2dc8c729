"""What we say to the server, on its way to the socket: kept while nothing can be written, gathered while there is much.

Each write costs a system call, and so does each turn of the event loop that is spent on waiting for more to write. So a
lone frame is written at once, and when frames are many they are gathered: over one turn of the loop, or over what is said
in answer to one read. Few or many is what was said since the read before last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

FEW = 2
"""Frames said over two reads that are written at once: a question, its answer, a question."""
WRITE_AT_ONCE = 64 * 1024
"""Bytes gathered before they are written without waiting for more."""
PING, PONG = b"PING\r\n", b"PONG\r\n"


class Outbox:
    """Frames on their way to the connection, in the order of the calls."""

    def __init__(self) -> None:
        self.waiting = 0
        """Bytes that are not with the socket yet."""
        self._frames: list[bytes] = []
        self._said = 0
        self._said_before = 0
        self._reading = False
        self._kicked = False
        self._socket: Callable[[bytes], None] | None = None
        self._write: Callable[[bytes], None] | None = None

    def put(self, frame: bytes) -> None:
        """Write a frame soon; keep it while there is no connection, or one that takes no more."""
        self._said += 1
        if not (self._reading or self._kicked):
            if self._said + self._said_before <= FEW and self._write is not None:
                self._write(frame)
                return
            self._kicked = True
            asyncio.get_running_loop().call_soon(self._turn_ends)
        self._frames.append(frame)
        self.waiting += len(frame)
        if self.waiting > WRITE_AT_ONCE:
            self.flush()

    def reading(self) -> None:
        """What is said from now on answers what is being read: it is written together, by `answered`."""
        self._said_before, self._said = self._said, 0
        self._reading = True

    def answered(self) -> None:
        """Everything that was read has been dealt with."""
        self._reading = False
        if self._frames and not self._kicked:
            self.flush()

    def open(self, socket: Callable[[bytes], None]) -> None:
        """There is a connection: write what has been kept, and everything from now on."""
        self._socket = self._write = socket
        self.flush()

    def close(self) -> None:
        """The connection is lost: keep everything but the questions and answers about its health."""
        self._socket = self._write = None
        self._frames = [frame for frame in self._frames if frame not in (PING, PONG)]
        self.waiting = sum(map(len, self._frames))

    def can_write(self, writable: bool) -> None:
        """Whether the socket takes more."""
        self._write = self._socket if writable else None
        self.flush()

    def flush(self) -> None:
        """Write what there is, if it can be written."""
        if self._frames and self._write is not None:
            data = b"".join(self._frames)
            self._frames.clear()
            self.waiting = 0
            self._write(data)

    def _turn_ends(self) -> None:
        self._kicked = False
        self.flush()
