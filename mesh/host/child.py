"""`Child`: one run of one worker process: started, heard, signalled, awaited. Whether it is started again is decided elsewhere."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from mesh.host.channel import Orders, Report, line, parse_report
from mesh.host.lines import LineSplitter
from mesh.host.spawning import Spawned, Spawner
from mesh.server.process_mark import ProcessMark, mark_of

_CHUNK = 64 * 1024
_LAST_WORDS = 1.0


class Child:
    """A process in a group and session of its own: Ctrl-C in our terminal does not reach it, and what it leaves behind
    dies with it.

    `on_report` is called with what it says over its socket, `on_line` with each line that it writes.
    """

    def __init__(
        self,
        orders: Orders,
        *,
        environment: Mapping[str, str],
        on_report: Callable[[Report], None],
        on_line: Callable[[bytes], None],
        spawner: Spawner,
    ) -> None:
        self._orders = orders
        self._environment = environment
        self._on_report = on_report
        self._on_line = on_line
        self._spawner = spawner
        self._process: Spawned | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listeners: list[asyncio.Task[None]] = []
        self.mark: ProcessMark | None = None
        self.done = asyncio.Event()

    @property
    def pid(self) -> int:
        """Its process; 0 before it was started."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start it and give it its orders.

        Raises:
            OSError: the system cannot start processes (limits, memory, a missing folder).
        """
        ours, theirs = socket.socketpair()
        try:
            folder = Path(self._orders.folder)
            self._process = await self._spawner.spawn(theirs.fileno(), folder, self._environment)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.mark = mark_of(self._process.pid)
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._writer.write(line(self._orders))
        self._listeners = [
            asyncio.create_task(self._hear_reports(reader)),
            asyncio.create_task(self._hear_lines(self._process.stdout)),
            asyncio.create_task(self._hear_lines(self._process.stderr)),
        ]

    async def ended(self) -> int:
        """Wait until it has ended and everything it wrote has been heard: its exit status, negative for a signal."""
        assert self._process is not None
        status = await self._process.wait()
        self.kill_group()
        await asyncio.wait(self._listeners, timeout=_LAST_WORDS)
        for listener in self._listeners:
            listener.cancel()
        self._process.close()
        if self._writer is not None:
            self._writer.close()
        self.done.set()
        return status

    def terminate(self) -> None:
        """Ask it to drain (SIGTERM). Gone already: nothing happens."""
        if self.mark is not None:
            self.mark.signal(signal.SIGTERM)

    def ask_where(self) -> None:
        """Ask it to write down where each of its threads is (SIGUSR1); works even when its event loop hangs."""
        if self.mark is not None:
            self.mark.signal(signal.SIGUSR1)

    def kill_group(self) -> None:
        """End it, and every process it started, at once (SIGKILL). Gone already: nothing happens."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _hear_reports(self, reader: asyncio.StreamReader) -> None:
        lines = LineSplitter()
        with suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                for text in lines.feed(chunk):
                    self._take(text)

    def _take(self, text: bytes) -> None:
        try:
            report = parse_report(text)
        except msgspec.MsgspecError as error:
            self._on_line(f"it sent its supervisor something unreadable: {error}".encode())
            return
        self._on_report(report)

    async def _hear_lines(self, stream: asyncio.StreamReader) -> None:
        lines = LineSplitter()
        while chunk := await stream.read(_CHUNK):
            for text in lines.feed(chunk):
                self._on_line(text)
        for text in lines.end():
            self._on_line(text)
