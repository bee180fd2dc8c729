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


class PlainProcess:
    """A child of our own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self.pid = process.pid
        self.stdout = process.stdout
        self.stderr = process.stderr

    async def wait(self) -> int:
        """Wait for its end: its exit status, negative for a signal."""
        return await self._process.wait()

    def close(self) -> None:
        """asyncio does it when the process has ended."""


class PlainSpawner:
    """A new Python, or whatever `command` is, for each worker; the number of the channel is its last argument."""

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self._command = command

    async def spawn(self, channel: int, folder: Path, environment: Mapping[str, str]) -> PlainProcess:
        """Start one.

        Raises:
            OSError: the system cannot.
        """
        process = await asyncio.create_subprocess_exec(
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
        return PlainProcess(process)

    async def close(self) -> None:
        """Nothing to close."""
