"""`Position`: how far somebody has read a journal, as an event stream's ids say it.

An entry of the journal may hold several events. The last one of an entry has the entry's sequence as its id; those before
it have `<sequence>/<how many of the entry>`. So every id says exactly what has been read, and nothing is repeated or left out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mesh.gateway.problems import BadHeader

_ID = re.compile(r"(\d{1,19})(?:/(\d{1,9}))?\Z", re.ASCII)


class Position(NamedTuple):
    """Everything below `sequence` has been read, and the first `events` of it; all of it where `events` is 0."""

    sequence: int = 0
    events: int = 0

    def skip(self, sequence: int) -> int | None:
        """How many events of the entry with that sequence have been read; None: all."""
        if sequence > self.sequence:
            return 0
        return self.events if sequence == self.sequence and self.events else None

    def __str__(self) -> str:
        return f"{self.sequence}/{self.events}" if self.events else str(self.sequence)


def read_position(text: str) -> Position:
    """What `Last-Event-ID` says; nothing read where it is empty.

    Raises:
        BadHeader: it is none of our ids.
    """
    found = _ID.match(text.strip() or "0")
    if found is None:
        raise BadHeader(f"Last-Event-ID must be an id of this stream, got {text[:40]!r}")
    return Position(int(found[1]), int(found[2] or 0))
