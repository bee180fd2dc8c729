"""Acts as envelopes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mesh.actors.asking.subcontract import UNCONSTRAINED
from mesh.actors.exchanging.tongue import answer_in
from mesh.contract_net.calls import Call
from mesh.protocols.acts import ACTS, CallForProposal, InformResult, Propose
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import NULL, VERSION, Envelope, Kind, Sender, Stamps
from mesh.protocols.errors import BadEnvelope, Fault, NotUnderstood
from mesh.protocols.ports import Ids
from mesh.registry.listing import Listing

INLINE = 16 * 1024
"""Inputs up to this many bytes travel in the call for proposals."""

_encoder = msgspec.json.Encoder()
_decoders: dict[str, msgspec.json.Decoder[Any]] = {name: msgspec.json.Decoder(kind) for name, kind in ACTS.items()}
_proposals = msgspec.json.Decoder(Propose)
_results = msgspec.json.Decoder(InformResult)
_names: dict[type[msgspec.Struct], str] = {kind: name for name, kind in ACTS.items()}


def act(
    call: Call,
    sender: Sender,
    ids: Ids,
    content: msgspec.Struct,
    *,
    key: str = "",
    attempt: int = 1,
    version: int = VERSION,
) -> Envelope:
    """An act of the initiator: what the call was made with is handed down."""
    message_id, left = ids.uuid(), call.deadline.remaining()
    plain = Envelope(
        v=version,
        id=message_id,
        kind="act",
        name=_names[type(content)],
        sender=sender,
        correlation=call.correlation or message_id,
        attempt=attempt,
        remaining=left if left > 0.0 else 0.0,
        key=key,
        constraints=None if call.constraints is UNCONSTRAINED else call.constraints,
        stamps=call.stamps,
        payload=msgspec.Raw(_encoder.encode(content)),
    )
    return _handed_down(plain, call) if call.inherits else plain


def _handed_down(envelope: Envelope, call: Call) -> Envelope:
    return msgspec.structs.replace(
        envelope,
        causation=call.causation,
        tenant=call.tenant,
        job=call.job,
        epoch=call.epoch,
        step=call.step,
        hops=call.hops,
        chain=call.chain,
        trace=call.trace,
        ext=call.ext,
    )


def call_for_proposals(
    call: Call, conversation: str, window: float, *, round: int = 1, instances: tuple[str, ...] = ()
) -> CallForProposal:
    """The call to everybody, or to these instances of one process."""
    size = len(memoryview(call.input))
    return CallForProposal(
        conversation=conversation,
        capability=call.capability,
        window=window,
        effect=call.effect or "costly",
        round=round,
        input=call.input if size <= INLINE else NULL,
        input_size=size,
        constraints=call.constraints,
        instances=instances,
    )


def names(listings: Sequence[Listing]) -> tuple[str, ...]:
    """The `instances` of a call to these, which are in one process; none if the subject says it already."""
    return tuple(f"{each.agent}.{each.record.instance}" for each in listings) if len(listings) > 1 else ()


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
    degraded: str = "",
    stamps: Stamps | None = None,
) -> Envelope:
    """What a participant answers to `cause`; `epoch` is that of whoever is answered, if it is no longer the cause's."""
    plain = Envelope(
        v=answer_in(cause.v),
        id=message_id,
        kind=kind,
        name=name or cause.name,
        sender=sender,
        correlation=cause.correlation,
        causation=cause.id,
        epoch=cause.epoch if epoch is None else epoch,
        key=cause.key,
        seq=seq,
        usage=usage,
        fault=fault,
        degraded=degraded,
        stamps=stamps,
        payload=payload,
    )
    if cause.tenant == "default" and not (cause.job or cause.step or cause.trace):
        return plain
    return msgspec.structs.replace(plain, tenant=cause.tenant, job=cause.job, step=cause.step, trace=cause.trace)


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


def result_in(envelope: Envelope) -> InformResult | None:
    """The result in an answer to an award; None for any other answer, and for a result that has to be fetched first."""
    if envelope.name != "inform-result" or envelope.kind != "act" or envelope.ref is not None:
        return None
    try:
        return _results.decode(envelope.payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def proposals_in(envelope: Envelope) -> Propose | None:
    """What a process proposes in answer to a call; None for any other answer, and where it has to be fetched first."""
    if envelope.name != "propose" or envelope.kind != "act" or envelope.ref is not None:
        return None
    try:
        return _proposals.decode(envelope.payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def payload_of(content: msgspec.Struct) -> tuple[str, msgspec.Raw]:
    """The performative and payload of an act."""
    return _names[type(content)], msgspec.Raw(_encoder.encode(content))
