"""Trouble on demand: what a test asks the memory server to do wrong, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from mesh.protocols.ports import Message
from mesh.transport.matching import matches

Trouble = Literal["drop", "lose-ack", "lose-append"]


Interceptor = Callable[[Message, Callable[[], None]], bool]
"""Sees a message and the way to deliver it, once or more, now or later; answers whether it goes through by itself."""


class Faults:
    """Counts down the troubles that were asked for. A `filter` sees every message and drops those it answers False to.

    An `interceptor` may do more with those that are left (`mesh.testing.Faults` is one), and sees what is appended, too.
    """

    def __init__(self) -> None:
        self.filter: Callable[[Message], bool] | None = None
        self.interceptor: Interceptor | None = None
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

    @property
    def due(self) -> int:
        """How many troubles were asked for and have not happened yet."""
        return sum(times for _, _, times in self._due)

    def passes(self, message: Message, deliver: Callable[[], None]) -> bool:
        """Whether a published message goes through by itself."""
        if self.strikes("drop", message.subject) or (self.filter is not None and not self.filter(message)):
            return False
        return self.intercepted(message, deliver)

    def intercepted(self, message: Message, deliver: Callable[[], None]) -> bool:
        """What the interceptor says, if there is one."""
        return self.interceptor is None or self.interceptor(message, deliver)

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
