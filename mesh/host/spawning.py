"""Starting worker processes: the port `Spawner`, and the plain way, a new Python for each.

The quick way is in `nursery_client.py`. Keepers and children do not know which one it is.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

WORKER = (sys.executable, "-P", "-m", "mesh.host.worker")
_LINE = 64 * 1024


class Spawned(Protocol):
    """A process that was started, in a session and group of its own."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def stdout(self) -> asyncio.StreamReader:
        """What it writes."""

    @property
    def stderr(self) -> asyncio.StreamReader:
        """What it writes on the other one."""

    async def wait(self) -> int:
        """Wait for its end: its exit status, negative for a signal."""

    def close(self) -> None:
        """Listen no more to what it writes. Again: nothing happens."""


class Spawner(Protocol):
    """Starts workers."""

    async def spawn(self, channel: int, folder: Path, environment: Mapping[str, str]) -> Spawned:
        """Start one that inherits the descriptor `channel` and works in `folder`.

        Raises:
            OSError: the system cannot start processes (limits, memory, a missing folder).
        """

    async def close(self) -> None:
        """Start no more. Workers that run are not touched. Again: nothing happens."""


class _Heard(asyncio.subprocess.SubprocessStreamProtocol):
    """Tells of the end of the process as soon as it comes. The `wait` of asyncio waits for the end of what it writes as well,
    which is not there for as long as something that it started lives."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=_LINE, loop=loop)
        self.ended = asyncio.Event()

    def process_exited(self) -> None:
        """What asyncio calls."""
        super().process_exited()
        self.ended.set()


class PlainProcess:
    """A child of our own."""

    def __init__(self, transport: asyncio.SubprocessTransport, heard: _Heard) -> None:
        assert heard.stdout is not None
        assert heard.stderr is not None
        self._transport = transport
        self._heard = heard
        self.pid = transport.get_pid()
        self.stdout = heard.stdout
        self.stderr = heard.stderr

    async def wait(self) -> int:
        """Wait for its end: its exit status, negative for a signal."""
        await self._heard.ended.wait()
        status = self._transport.get_returncode()
        assert status is not None
        return status

    def close(self) -> None:
        """Listen no more to what it writes, whoever else may still do so in its place. Again: nothing happens."""
        self._transport.close()


class PlainSpawner:
    """A new Python, or whatever `command` is, for each worker; the number of the channel is its last argument."""

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self._command = command

    async def spawn(self, channel: int, folder: Path, environment: Mapping[str, str]) -> PlainProcess:
        """Start one.

        Raises:
            OSError: the system cannot.
        """
        loop = asyncio.get_running_loop()
        transport, heard = await loop.subprocess_exec(
            lambda: _Heard(loop),
            *self._command,
            str(channel),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env=dict(environment),
            pass_fds=(channel,),
            start_new_session=True,
        )
        return PlainProcess(transport, heard)

    async def close(self) -> None:
        """Nothing to close."""
