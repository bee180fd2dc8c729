"""What we say to the server: gathered over one turn of the event loop, kept while nothing can be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

WRITE_AT_ONCE = 64 * 1024
"""Bytes gathered in one turn of the loop before they are written without waiting for its end."""
PING, PONG = b"PING\r\n", b"PONG\r\n"


class Outbox:
    """Frames on their way to the connection."""

    def __init__(self) -> None:
        self.waiting = 0
        self._frames: list[bytes] = []
        self._kicked = False
        self._write: Callable[[bytes], None] | None = None
        self._writable = True

    def put(self, frame: bytes) -> None:
        """Write a frame with everything else of this turn of the loop; keep it while there is no connection."""
        self._frames.append(frame)
        self.waiting += len(frame)
        if not self._kicked:
            self._kicked = True
            asyncio.get_running_loop().call_soon(self._turn_ends)
        elif self.waiting > WRITE_AT_ONCE:
            self.flush()

    def open(self, write: Callable[[bytes], None]) -> None:
        """There is a connection: write what has been kept, and everything from now on."""
        self._write = write
        self._writable = True
        self.flush()

    def close(self) -> None:
        """The connection is lost: keep everything. Questions and answers about its health go with it."""
        self._write = None
        self._frames = [frame for frame in self._frames if frame not in (PING, PONG)]
        self.waiting = sum(map(len, self._frames))

    def can_write(self, writable: bool) -> None:
        """Whether the connection takes more."""
        self._writable = writable
        if writable:
            self.flush()

    def flush(self) -> None:
        """Write what there is, if it can be written."""
        if self._frames and self._write is not None and self._writable:
            data = b"".join(self._frames)
            self._frames.clear()
            self.waiting = 0
            self._write(data)

    def _turn_ends(self) -> None:
        self._kicked = False
        self.flush()
