"""`Console`: every process's lines on the host's stderr, each under its name, none of them able to drive the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Any

import msgspec

from mesh.host.process_log import ProcessLog

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_DULL = ("time", "event", "level", "process", "message")


class Console:
    """Writes lines as `name │ text`, coloured by name on a terminal. JSON log lines are shortened for people."""

    def __init__(self, stream: IO[str] | None = None, *, colour: bool | None = None) -> None:
        self._stream = stream or sys.stderr
        self._colour = _wants_colour(self._stream) if colour is None else colour
        self._width = 0
        self._known: dict[str, int] = {}

    def expect(self, names: Iterable[str]) -> None:
        """Make room for these names, and give each its colour."""
        for name in names:
            self._known.setdefault(name, _COLOURS[len(self._known) % len(_COLOURS)])
            self._width = max(self._width, len(name))

    def line(self, name: str, text: str) -> None:
        """Write one line of a process."""
        self.expect((name,))
        prefix = f"{name:<{self._width}} │"
        if self._colour:
            prefix = f"\x1b[{self._known[name]}m{prefix}\x1b[0m"
        self._write(f"{prefix} {escaped(shortened(text))}")

    def say(self, text: str, *, loud: bool = False) -> None:
        """Write one line of the host itself; `loud` for what a person must not miss."""
        self._write(f"\x1b[1;31m{escaped(text)}\x1b[0m" if loud and self._colour else escaped(text))

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        except OSError:  # a full disk, a terminal that hung up: whoever says something must not end of it
            return


class Silent(Console):
    """Shows nothing: the logs on disk are enough."""

    def _write(self, text: str) -> None:
        return


class OwnLines(Console):
    """Only what the host itself says, in a log that is kept small."""

    def __init__(self, log: ProcessLog) -> None:
        super().__init__(colour=False)
        self._log = log

    def line(self, name: str, text: str) -> None:
        """Not here: it stands in the process's own log."""

    def _write(self, text: str) -> None:
        with suppress(OSError):  # as above: a full disk
            self._log.write(text.encode())


def escaped(text: str) -> str:
    """The text without control characters (tabs stay): what a process prints must not move the cursor."""
    return "".join(char if char.isprintable() or char == "\t" else f"\\x{ord(char):02x}" for char in text)


def shortened(text: str) -> str:
    """A JSON log line as people read it; any other line as it is."""
    if not text.startswith("{"):
        return text
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return text
    if "event" not in fields:
        return text
    told = " ".join(f"{key}={_short(value)}" for key, value in fields.items() if key not in _DULL)
    level = str(fields.get("level", "info"))
    head = f"{fields['event']}" if level == "info" else f"{level.upper()} {fields['event']}"
    return " ".join(part for part in (head, str(fields.get("message", "")), told) if part)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _wants_colour(stream: IO[str]) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
