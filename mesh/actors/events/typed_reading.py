"""`TypedReading`: reads an event's envelope and its payload in one pass, where one handler alone hears it.

Otherwise the payload is passed over with the envelope and read again by the handler's contract: a third of what an event of
1 KiB costs. Whatever does not fit is read the plain way, and refused where it always is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from mesh.actors.declaring.contract import needs_pydantic
from mesh.actors.declaring.handler import Handler
from mesh.actors.events.batch import decode_batch
from mesh.protocols.envelope import READABLE, Envelope, decode
from mesh.protocols.errors import MeshError


class TypedReading:
    """For one contract. The `payload` of what it returns is the handler's own value, unless it was read the plain way."""

    def __init__(self, annotation: Any) -> None:
        kind: Any = msgspec.defstruct(
            "TypedEvent", [("payload", annotation)], bases=(Envelope,), frozen=True, kw_only=True, gc=False
        )
        self._one = msgspec.json.Decoder(kind)
        self._many = msgspec.json.Decoder(list[kind])

    @classmethod
    def of(cls, handler: Handler) -> TypedReading | None:
        """The reading for a handler, if it takes its payload whole and nothing else."""
        parameters = handler.parameters
        annotation = parameters.contract.annotation
        plain = parameters.shape != "whole" or parameters.context is not None or handler.way != "await"
        if plain or annotation is msgspec.Raw or needs_pydantic(annotation):
            return None
        return cls(annotation)

    def one(self, data: bytes) -> Envelope:
        """As `decode`."""
        try:
            data.isascii() or data.decode()
            envelope: Envelope = self._one.decode(data)
        except (ValueError, RecursionError):
            return decode(data)
        return envelope if envelope.v in READABLE else decode(data)

    def many(self, data: bytes, bad: Callable[[MeshError], None]) -> list[Envelope]:
        """As `decode_batch`."""
        try:
            data.isascii() or data.decode()
            envelopes: list[Envelope] = self._many.decode(data)
        except (ValueError, RecursionError):
            return decode_batch(data, bad)
        return envelopes if all(each.v in READABLE for each in envelopes) else decode_batch(data, bad)


def untyped(envelope: Envelope) -> Envelope:
    """The same envelope with its payload as it came, or could have come."""
    if isinstance(envelope.payload, msgspec.Raw):
        return envelope
    fields = {name: getattr(envelope, name) for name in Envelope.__struct_fields__}
    return Envelope(**fields | {"payload": msgspec.Raw(msgspec.json.encode(envelope.payload))})
