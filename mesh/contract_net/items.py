"""`Items`: what a winner streams, in order and without gaps; another award begins anew."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import TimedOut

OnItem = Callable[[msgspec.Raw], None]


class Items:
    """The items of one call so far. `on_item` hears each of them once an award."""

    def __init__(self, on_item: OnItem | None) -> None:
        self._on_item = on_item
        self._award = ""
        self._found: list[msgspec.Raw] = []

    def take(self, award: str, envelope: Envelope) -> None:
        """The next one; a copy of an earlier one counts for nothing.

        Raises:
            TimedOut: one before it was lost.
        """
        if award != self._award:
            self._award = award
            self._found.clear()
        if envelope.seq > len(self._found):
            raise TimedOut(f"item {len(self._found)} of {envelope.sender.agent} was lost")
        if envelope.seq == len(self._found):
            self._found.append(envelope.payload)
            if self._on_item is not None:
                self._on_item(envelope.payload)

    def check(self, award: str, envelope: Envelope) -> None:
        """This result says how many there were; nothing, where nobody counted.

        Raises:
            TimedOut: one of them was lost.
        """
        found = len(self._found) if award == self._award else 0
        if envelope.seq > found:
            raise TimedOut(f"item {found} of {envelope.sender.agent} was lost")

    def all(self) -> tuple[msgspec.Raw, ...]:
        """Every one that came of the present award."""
        return tuple(self._found)
