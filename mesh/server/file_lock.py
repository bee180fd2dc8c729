"""`FileLock`: an advisory lock that the kernel gives back when its last holder dies.

A child that inherits the descriptor holds the lock for as long as it lives: that is how one store never has two servers.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from mesh.server.binary import ServerUnusable
from mesh.server.waiting import wait_until


class FileLock:
    """An exclusive lock on a file, which is created when missing and never removed."""

    def __init__(self, path: Path, *, timeout: float = 30.0) -> None:
        self._path = path
        self._timeout = timeout
        self.descriptor = -1

    def acquire(self, timeout: float | None = None) -> bool:
        """Take the lock, waiting at most `timeout` seconds (blocks); whether it was got."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if not wait_until(lambda: _try(descriptor), self._timeout if timeout is None else timeout):
            os.close(descriptor)
            return False
        self.descriptor = descriptor
        return True

    def release(self) -> None:
        """Let go of this holder's share; children that inherited it keep theirs. Again: nothing happens."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> FileLock:
        if not self.acquire():
            raise ServerUnusable(
                f"somebody has held {self._path} for {self._timeout:g} s: another mesh command is at work in this folder"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
