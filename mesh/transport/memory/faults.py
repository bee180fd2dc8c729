"""Trouble on demand: what a test asks the memory server to do wrong, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mesh.protocols.ports import Message
from mesh.transport.matching import matches

Trouble = Literal["drop", "lose-ack", "lose-append"]


class Faults:
    """Counts down the troubles that were asked for. A `filter` sees every message and drops those it answers False to."""

    def __init__(self) -> None:
        self.filter: Callable[[Message], bool] | None = None
        self._due: list[tuple[Trouble, str, int]] = []

    def drop(self, pattern: str, times: int = 1) -> None:
        """The next `times` messages published to `pattern` reach nobody."""
        self._due.append(("drop", pattern, times))

    def lose_acks(self, pattern: str, times: int = 1) -> None:
        """The next `times` appends to `pattern` are stored, but their caller only hears `TimedOut`."""
        self._due.append(("lose-ack", pattern, times))

    def lose_appends(self, pattern: str, times: int = 1) -> None:
        """The next `times` appends to `pattern` are not stored, and their caller hears `TimedOut`."""
        self._due.append(("lose-append", pattern, times))

    def clear(self) -> None:
        """No more trouble."""
        self._due.clear()
        self.filter = None

    def passes(self, message: Message) -> bool:
        """Whether a published message goes through."""
        return not self.strikes("drop", message.subject) and (self.filter is None or self.filter(message))

    def strikes(self, trouble: Trouble, subject: str) -> bool:
        """Whether this trouble is due for `subject`; counts it if so."""
        for place, (kind, pattern, times) in enumerate(self._due):
            if kind == trouble and matches(pattern, subject):
                if times > 1:
                    self._due[place] = (kind, pattern, times - 1)
                else:
                    del self._due[place]
                return True
        return False
