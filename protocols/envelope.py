"""The envelope: one frozen Struct around every command, act, event and reply.

JSON by default, so that `nats sub` shows something a person can read; msgpack is told apart by its first byte and its
payload turned into JSON on the way in. The payload stays raw bytes until the contract of its handler decodes it, once.

Versions: this release writes major version `VERSION` and reads it and the one before. Unknown fields are ignored when
read; whatever is stored or passed on keeps the received bytes, so nothing unknown is lost; `ext` is the place for fields
that should travel with every message that this one causes.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mesh.protocols.constraints import Constraints, Usage
from mesh.protocols.errors import BadEnvelope, Fault, VersionUnsupported
from mesh.protocols.references import Reference

VERSION = 1
READABLE = (VERSION - 1, VERSION)

Kind = Literal["command", "act", "event", "reply", "item", "progress", "control"]
"""`command`: imperative, to a handler. `act`: a contract-net performative. `event`: past tense, to whom it may concern.
`reply`: ends an exchange. `item` and `progress`: come before the reply. `control`: probe and cancel."""

NULL = msgspec.Raw(b"null")


class Sender(msgspec.Struct, frozen=True, gc=False):
    """Who sent it. NATS permissions pin the process; the agent and instance are what the process says."""

    agent: str
    instance: str
    process: str


class Stamps(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What produced it: on every reply and event, so that a change of behaviour can be traced to its cause."""

    agent_version: str = ""
    prompt_digest: str = ""
    model: str = ""
    policy_version: str = ""


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """One message.

    `id` is a uuid7; `correlation` is shared by everything one request causes, `causation` is the id of the message that
    caused this one; `remaining` is the time left until the deadline, in seconds, at the moment of sending; `chain` names
    the agents already waiting above (a call back to one of them is a cycle); `hops` counts them; `key` is the idempotency
    key; `trace` a W3C traceparent; `seq` numbers the items of a streamed reply from 0; `fault` stands on failed replies;
    `degraded` says on a reply why it is less than what was asked for (empty: it is not);
    `ref` names a payload that was too large for the message (then `payload` is null).
    """

    v: int
    id: str
    kind: Kind
    name: str
    sender: Sender
    correlation: str
    causation: str = ""
    tenant: str = "default"
    job: str = ""
    epoch: int = 0
    step: str = ""
    attempt: int = 1
    hops: int = 0
    chain: tuple[str, ...] = ()
    remaining: float | None = None
    key: str = ""
    trace: str = ""
    seq: int = 0
    constraints: Constraints | None = None
    usage: Usage | None = None
    stamps: Stamps | None = None
    fault: Fault | None = None
    degraded: str = ""
    ext: dict[str, Any] = {}
    ref: Reference | None = None
    payload: msgspec.Raw = NULL


class _Version(msgspec.Struct):
    v: int


_json_encoder = msgspec.json.Encoder()
_json_decoder = msgspec.json.Decoder(Envelope)
_json_version = msgspec.json.Decoder(_Version)
_msgpack_decoder = msgspec.msgpack.Decoder(Envelope)
_msgpack_version = msgspec.msgpack.Decoder(_Version)


def encode(envelope: Envelope) -> bytes:
    """The envelope as JSON bytes."""
    return _json_encoder.encode(envelope)


def encode_msgpack(envelope: Envelope) -> bytes:
    """The envelope as msgpack bytes, its payload turned from JSON into msgpack."""
    packed = msgspec.msgpack.encode(msgspec.json.decode(envelope.payload))
    return msgspec.msgpack.encode(msgspec.structs.replace(envelope, payload=msgspec.Raw(packed)))


def decode(data: bytes) -> Envelope:
    """The envelope in `data`, JSON or msgpack, its payload as JSON.

    Raises:
        VersionUnsupported: a major version other than the ones in `READABLE`.
        BadEnvelope: anything else that is not an envelope, deep nesting included.
    """
    packed = data[:1] > b"\x7f"
    try:
        envelope = _msgpack_decoder.decode(data) if packed else _json_decoder.decode(data)
        if packed:
            envelope = _unpacked(envelope)
        elif not data.isascii():
            data.decode()  # a raw payload may hold anything: text that is none must not get further
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise _why_not(data, packed, error) from None
    if envelope.v not in READABLE:
        raise _unsupported(envelope.v)
    return envelope


def _unpacked(envelope: Envelope) -> Envelope:
    """As it would be had it come as JSON: what that cannot say (NaN, bytes, extensions), nobody further in has to expect."""
    if envelope.payload is not NULL:
        plain = msgspec.json.encode(msgspec.msgpack.decode(envelope.payload))
        envelope = msgspec.structs.replace(envelope, payload=msgspec.Raw(plain))
    return _json_decoder.decode(_json_encoder.encode(envelope))


def value_of(envelope: Envelope) -> Any:
    """The payload as plain JSON values, for those who have no contract for it.

    Raises:
        BadEnvelope: it holds a number that no computer does.
    """
    try:
        return msgspec.json.decode(envelope.payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadEnvelope(f"a payload that cannot be read: {error}") from None


def _why_not(data: bytes, packed: bool, error: Exception) -> BadEnvelope | VersionUnsupported:
    """An unknown version may well have other fields: say so, rather than complain about the fields."""
    try:
        version = (_msgpack_version if packed else _json_version).decode(data).v
    except (msgspec.MsgspecError, ValueError, RecursionError):
        version = VERSION
    if version not in READABLE:
        return _unsupported(version)
    what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return BadEnvelope(f"not an envelope: {what}")


def _unsupported(version: int) -> VersionUnsupported:
    return VersionUnsupported(
        f"envelope version {version} is not understood here (this release reads {READABLE[0]} and {READABLE[1]})",
        detail={"supported": list(READABLE), "got": version},
    )
