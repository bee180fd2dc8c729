"""What we say to the server, on its way to the socket: kept while nothing can be written, gathered while there is much.

Each write costs a system call, and so does each turn of the event loop that is spent on waiting for more to write. So a
lone frame is written at once where one frame was all there was to say lately, between one read and the next; otherwise
frames are gathered over a turn of the loop. Frames that leave in large batches come back in large batches, so a busy
time is remembered for a while: a single small read is no reason to break it up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MEMORY = 64
"""Reads after which a busy time is forgotten."""
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
        self._said_lately = 0
        self._kicked = False
        self._socket: Callable[[bytes], None] | None = None
        self._write: Callable[[bytes], None] | None = None

    def put(self, frame: bytes) -> None:
        """Write a frame soon; keep it while there is no connection, or one that takes no more."""
        self._said += 1
        if not self._kicked:
            if self._said == 1 and self._said_lately <= 1 and self._give(frame):
                return
            self._kicked = True
            asyncio.get_running_loop().call_soon(self._turn_ends)
        self._frames.append(frame)
        self.waiting += len(frame)
        if self.waiting > WRITE_AT_ONCE:
            self.flush()

    def heard(self) -> None:
        """The server has said something: what is said from now on may answer it, and is counted anew."""
        self._said_lately = min(MEMORY, max(self._said, self._said_lately - 1))
        self._said = 0

    def open(self, socket: Callable[[bytes], None]) -> None:
        """There is a connection: write what has been kept, and everything from now on. `socket` raises `ConnectionError`, and
        has taken nothing, once the connection is lost."""
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
        if self._frames and self._write is not None and self._give(b"".join(self._frames)):
            self._frames.clear()
            self.waiting = 0

    def _give(self, data: bytes) -> bool:
        """Whether there is a socket that took it. One that is gone is not asked again: `close` is about to be called."""
        if self._write is None:
            return False
        try:
            self._write(data)
        except ConnectionError:
            self._socket = self._write = None
            return False
        return True

    def _turn_ends(self) -> None:
        self._kicked = False
        self.flush()
