"""`Books`: what handlers began and ended, one line each, written by the process that did it: the count at the target."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple


class Line(NamedTuple):
    """`+` at the beginning, `-` at the end of what a handler did for `caller` (a process) in its attempt number `attempt`."""

    sign: Literal["+", "-"]
    what: str
    caller: str
    attempt: int
    message: str
    at: float = 0.0


class Books:
    """The book of one process. Open it again, in another process or later: it goes on."""

    def __init__(self, folder: Path, process: str) -> None:
        self._path = folder / f"{process}.book"
        self._file = -1

    def write(self, line: Line) -> None:
        """One line; a process that is killed right after it has written it."""
        if self._file < 0:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(self._file, " ".join(map(str, line._replace(at=time.time()))).encode() + b"\n")

    def read(self, what: str = "", *, since: float = 0.0) -> list[Line]:
        """What was written, in its order; from this moment on (Unix seconds). A line that is being written is not there yet."""
        text = self._path.read_text() if self._path.exists() else ""
        lines = [_line(each) for each in text[: text.rfind("\n") + 1].splitlines()]
        return [each for each in lines if each.at >= since and what in ("", each.what)]


def running(lines: Iterable[Line]) -> int:
    """How many of these were begun and have not ended."""
    return sum(1 if each.sign == "+" else -1 for each in lines)


def most_at_once(lines: Iterable[Line]) -> Counter[str]:
    """For each caller, how much of what it asked for was under way at once at most."""
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for line in lines:
        now[line.caller] += 1 if line.sign == "+" else -1
        most[line.caller] = max(most[line.caller], now[line.caller])
    return most


def _line(text: str) -> Line:
    sign, what, caller, attempt, message, at = text.split(" ")
    return Line("+" if sign == "+" else "-", what, caller, int(attempt), message, float(at))
