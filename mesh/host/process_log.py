"""`ProcessLog`: what a process writes, appended to `.mesh/logs/<process>.log`, which is kept small by turning it over."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 8 * 1024 * 1024
KEPT = 3


class ProcessLog:
    """An append-only log. Past `max_bytes` it becomes `.log.1`, that `.log.2`, and so on up to `kept` old ones."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._file: BinaryIO | None = None

    def write(self, line: bytes) -> None:
        """Append the line, as it is.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        if self._file is not None and not os.fstat(self._file.fileno()).st_nlink:
            self.close()  # somebody removed it to make room: there is none before we let go of it
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        self._file.write(line + b"\n")
        if self._file.tell() >= self._max_bytes:
            self._turn_over()

    def close(self) -> None:
        """Let go of the file. Again: nothing happens; a later write opens it anew."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _turn_over(self) -> None:
        self.close()
        for number in range(self._kept, 0, -1):
            older = old_log(self.path, number)
            newer = old_log(self.path, number - 1) if number > 1 else self.path
            if newer.exists():
                os.replace(newer, older)


def old_log(path: Path, number: int) -> Path:
    """Where the log before stands, and the one before that."""
    return path.with_name(f"{path.name}.{number}")


def last_lines(path: Path, count: int, *, within: int = 32 * 1024) -> list[str]:
    """The last lines of a log, at most; none when there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - within))
            return file.read().decode("utf-8", "replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
