"""`EventIds`: ids for what is emitted by the hundred thousand: uuid7s that share their randomness for a millisecond.

The first in a millisecond is drawn like every other id; those after it count on in its last part, as RFC 9562 §6.2 has it in
its second method. A fourth of the time, and nobody has to guess them: they are shown to everybody.
"""

from __future__ import annotations

from mesh.protocols.ports import Clock, Ids

_STEM = 24
"""Characters before the last part."""


class EventIds:
    """The ids of one process's unstored events; they ascend."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._now = clock.now
        self._ids = ids
        self._millisecond = 0
        self._stem = b""
        self._number = 0

    def draw(self) -> bytes:
        """The next one, as the bytes that stand in an envelope."""
        millisecond = int(self._now() * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            drawn = self._ids.uuid()
            self._stem, self._number = drawn[:_STEM].encode(), int(drawn[_STEM:], 16) >> 1
        self._number += 1
        return b"%b%012x" % (self._stem, self._number)
