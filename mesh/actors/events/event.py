"""`Event`: something that happened, as a subscriber gets it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from mesh.protocols.envelope import Envelope, value_of


class Event(msgspec.Struct, frozen=True, dict=True):
    """One event as a subscriber gets it. `sequence` and `time` (Unix seconds) are known when it came from the stream."""

    type: str
    agent: str
    tenant: str
    envelope: Envelope
    sequence: int = 0
    time: float = 0.0

    @cached_property
    def payload(self) -> Any:
        """What it says, as plain JSON values; decoded when it is read first.

        Raises:
            BadEnvelope: it holds a number that no computer does.
        """
        return value_of(self.envelope)
