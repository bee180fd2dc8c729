"""Another process of a bench, as the bench sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import suppress

READY_WITHIN = 30.0
ANSWERS_WITHIN = 120.0
GONE_WITHIN = 5.0
_LINE_LIMIT = 16 * 1024 * 1024


class Other:
    """Another process of a bench. It runs `main(url, *arguments)` of a module and has said that it is ready."""

    def __init__(self, pid: int, lines: asyncio.StreamReader, words: asyncio.StreamWriter) -> None:
        self._pid = pid
        self._lines = lines
        self._words = words

    @classmethod
    async def ready(cls, conversation: socket.socket) -> Other:
        """The process at the end of this socket, once it says that it is ready."""
        lines, words = await asyncio.open_unix_connection(sock=conversation, limit=_LINE_LIMIT)
        line = await asyncio.wait_for(lines.readline(), READY_WITHIN)
        if not line.startswith(b"ready "):
            words.close()
            raise RuntimeError("it ended before it was ready")
        return cls(int(line.split()[1]), lines, words)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._pid

    async def say(self, line: str) -> str:
        """Write a line to it and return the line it answers."""
        self._words.write(f"{line}\n".encode())
        try:
            answer = await asyncio.wait_for(self._lines.readline(), ANSWERS_WITHIN)
        except TimeoutError as error:
            raise TimeoutError(f"process {self._pid} did not answer {line!r} within {ANSWERS_WITHIN:.0f} s") from error
        if not answer:
            raise RuntimeError(f"process {self._pid} ended instead of answering {line!r}")
        return answer.decode().rstrip("\n")

    def kill(self) -> None:
        """`kill -9`. Again, or when it has ended: nothing happens."""
        if not self._lines.at_eof():
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    async def close(self) -> None:
        """End the conversation, which it takes for the end; kill it when it does not go."""
        with suppress(OSError, RuntimeError):
            self._words.write_eof()
        try:
            await asyncio.wait_for(self._lines.read(), GONE_WITHIN)
        except TimeoutError:
            self.kill()
        self._words.close()
