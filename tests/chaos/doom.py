"""`Doom`: where a process is to die, decided by tickets in a folder that all processes of a test share.

A ticket is a file named after a point of the code (`before step.succeeded`, `after effect`). Whoever comes to the point and
gets hold of a ticket kills itself with SIGKILL on the spot: no handler runs, nothing is flushed. A ticket is good once.
Every death is written down with its time, those that a test brings about included, so that recovery can be measured.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import NamedTuple


class Death(NamedTuple):
    """Who died, when (Unix seconds), and where: the point, or `killed`."""

    process: str
    at: float
    point: str


class Doom:
    """The tickets of one test."""

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder) / "doom"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._register = Path(folder) / "deaths"
        self._written = 0

    def write(self, point: str, times: int = 1, *, process: str = "") -> None:
        """Whoever comes there dies, so often; with `process`, only that one."""
        for _ in range(times):
            self._written += 1
            (self._folder / f"{_slug(point, process)}@{self._written}").touch()

    def left(self) -> int:
        """Tickets that nobody has met yet."""
        return sum(1 for _ in self._folder.iterdir())

    def withdraw(self) -> None:
        """Nobody else dies."""
        for ticket in self._folder.iterdir():
            ticket.unlink(missing_ok=True)

    def at(self, point: str, process: str) -> None:
        """Here is such a point: die, if it is written."""
        for name in (_slug(point, process), _slug(point, "")):
            for ticket in self._folder.glob(f"{name}@*"):
                try:
                    ticket.unlink()
                except FileNotFoundError:  # somebody else died by it
                    continue
                self.die(process, point)

    def die(self, process: str, point: str) -> None:
        """Die now."""
        self.died(process, point)
        os.kill(os.getpid(), signal.SIGKILL)

    def died(self, process: str, point: str = "killed") -> None:
        """Write a death down, a moment before it."""
        with self._register.open("a") as register:
            register.write(f"{process}\t{time.time():.6f}\t{point}\n")

    @property
    def deaths(self) -> list[Death]:
        """All of them, in order."""
        lines = self._register.read_text().splitlines() if self._register.exists() else []
        return [Death(process, float(at), point) for process, at, point in (line.split("\t") for line in lines)]


def _slug(point: str, process: str) -> str:
    return f"{point.replace(' ', '-')}={process}"
