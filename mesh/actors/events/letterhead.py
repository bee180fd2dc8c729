"""`Letterhead`: an event's envelope in which everything is written already but its id and its payload.

Who emits again and again says the same about himself each time. The constant parts come from the one encoder of envelopes,
so what is composed here is byte for byte what it would have written.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from mesh.actors.exchanging.lineage import Lineage
from mesh.protocols.envelope import encode
from mesh.protocols.ports import Ids

_ANY = msgspec.Raw(b"0")


class Letterhead(NamedTuple):
    """The parts before the id, between it and the correlation (the same id again), and up to the payload."""

    opening: bytes
    middle: bytes
    closing: bytes

    @classmethod
    def of(cls, ids: Ids, lineage: Lineage, event_type: str, version: int) -> Letterhead:
        """For events of one type below a lineage with which a correlation starts."""
        envelope = lineage.compose(ids, "event", event_type, _ANY, waits=False, version=version)
        return cls(*encode(envelope).removesuffix(b"0}").split(envelope.id.encode()))

    def write(self, event_id: bytes, payload: msgspec.Raw) -> bytes:
        """A whole envelope."""
        opening, middle, closing = self
        return b"".join((opening, event_id, middle, event_id, closing, payload, b"}"))
