"""Acts as envelopes, and back."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.actors.lineage import Lineage
from mesh.actors.tongue import answer_in
from mesh.protocols.acts import ACTS
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import NULL, VERSION, Envelope, Kind, Sender, Stamps
from mesh.protocols.errors import BadEnvelope, Fault, NotUnderstood
from mesh.protocols.ports import Ids

_encoder = msgspec.json.Encoder()
_decoders: dict[str, msgspec.json.Decoder[Any]] = {name: msgspec.json.Decoder(kind) for name, kind in ACTS.items()}
_names: dict[type[msgspec.Struct], str] = {kind: name for name, kind in ACTS.items()}


def act(
    lineage: Lineage,
    ids: Ids,
    content: msgspec.Struct,
    *,
    remaining: float | None = None,
    key: str = "",
    attempt: int = 1,
    version: int = VERSION,
) -> Envelope:
    """An act of the initiator, below the lineage of its call."""
    payload = msgspec.Raw(_encoder.encode(content))
    name = _names[type(content)]
    return lineage.compose(ids, "act", name, payload, remaining=remaining, key=key, attempt=attempt, version=version)


def reply(
    cause: Envelope,
    sender: Sender,
    message_id: str,
    *,
    kind: Kind = "act",
    name: str = "",
    payload: msgspec.Raw = NULL,
    epoch: int | None = None,
    seq: int = 0,
    usage: Usage | None = None,
    fault: Fault | None = None,
    stamps: Stamps | None = None,
) -> Envelope:
    """What a participant answers to `cause`; `epoch` is that of whoever is answered, if it is no longer the cause's."""
    return Envelope(
        v=answer_in(cause.v),
        id=message_id,
        kind=kind,
        name=name or cause.name,
        sender=sender,
        correlation=cause.correlation,
        causation=cause.id,
        tenant=cause.tenant,
        job=cause.job,
        epoch=cause.epoch if epoch is None else epoch,
        step=cause.step,
        trace=cause.trace,
        key=cause.key,
        seq=seq,
        usage=usage,
        fault=fault,
        stamps=stamps,
        payload=payload,
    )


def content_of(envelope: Envelope) -> Any:
    """The act in an envelope, as the Struct of its performative.

    Raises:
        NotUnderstood: no such performative. BadEnvelope: its content is not what that performative carries.
    """
    decoder = _decoders.get(envelope.name)
    if decoder is None:
        raise NotUnderstood(f"no such performative: {envelope.name[:64]!r}")
    try:
        return decoder.decode(envelope.payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadEnvelope(f"not the content of {envelope.name}: {error}") from None


def payload_of(content: msgspec.Struct) -> tuple[str, msgspec.Raw]:
    """The performative and payload of an act."""
    return _names[type(content)], msgspec.Raw(_encoder.encode(content))
