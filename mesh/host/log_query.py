"""Finding lines in the logs of a folder: by job, agent, correlation id. Newest lines win when there are too many."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

MOST = 1000
MOST_BYTES = 512 * 1024
CALL = "agent.call"

Line = dict[str, Any]


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to find. An empty field matches everything; `event` is the lines' own, and "" finds every event."""

    job: str = ""
    agent: str = ""
    correlation: str = ""
    event: str = CALL
    limit: int = MOST

    @property
    def wanted(self) -> dict[str, str]:
        """The fields that must have exactly these values."""
        fields = {"job": self.job, "agent": self.agent, "correlation": self.correlation, "event": self.event}
        return {name: value for name, value in fields.items() if value}


def find_lines(logs: Path, query: LogQuery) -> list[Line]:
    """The lines that match, oldest first: at most `limit` of them and about half a megabyte, the newest."""
    limit = max(1, min(query.limit, MOST))
    numbered = enumerate(_matching(logs, query))  # what was written in the same millisecond stays in its order
    newest = heapq.nlargest(limit, numbered, key=lambda each: (str(each[1].get("time", "")), each[0]))
    kept: list[Line] = []
    room = MOST_BYTES
    for _, line in newest:
        room -= len(msgspec.json.encode(line))
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]


def _matching(logs: Path, query: LogQuery) -> Iterator[Line]:
    wanted = query.wanted
    needles = [msgspec.json.encode(value) for value in wanted.values()]
    for path in sorted(logs.glob("*.log*")):
        for text in _lines(path):
            if not text.startswith(b"{") or not all(needle in text for needle in needles):
                continue
            line = _decoded(text)
            if line is not None and all(line.get(name) == value for name, value in wanted.items()):
                yield line


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:  # it was turned over meanwhile
        return


def _decoded(text: bytes) -> Line | None:
    try:
        return msgspec.json.decode(text, type=Line)
    except (msgspec.MsgspecError, RecursionError):
        return None
