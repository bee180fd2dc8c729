"""Messages of a stream as the server hands them out: by direct get, or by a consumer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from mesh.protocols.ports import KeyValue, Message, Stored
from mesh.transport.headers import KV_OPERATION, MARKER_REASON, SEQUENCE, STATUS, SUBJECT, TIME

_OURS = frozenset({"Nats-Stream", SUBJECT, SEQUENCE, TIME, "Nats-Num-Pending", "Nats-Last-Sequence"})


class Position(NamedTuple):
    """Where a delivered message stands: in the stream, in the consumer, how often it was delivered, what is left behind it."""

    sequence: int
    delivered: int
    attempts: int
    time: float
    pending: int


def position(reply: str) -> Position:
    """Read the reply subject of a consumer's message.

    `$JS.ACK.<stream>.<consumer>.<attempts>.<sequence>.<delivered>.<time>.<pending>`, with domain and account hash
    before the stream (and a token behind) on servers that use the longer form.
    """
    tokens = reply.split(".")
    attempts, sequence, delivered, time, pending = tokens[4:] if len(tokens) == 9 else tokens[6:11]
    return Position(int(sequence), int(delivered), int(attempts), int(time) / 1e9, int(pending))


def from_delivery(message: Message, where: Position) -> Stored:
    """The stored message that a consumer delivered."""
    return Stored(message.subject, message.data, where.sequence, where.time, message.headers)


def from_direct_get(message: Message) -> Stored:
    """The stored message in the answer to a direct get; the headers that describe it are taken off."""
    headers = message.headers or {}
    own = {name: value for name, value in headers.items() if name not in _OURS}
    return Stored(headers[SUBJECT], message.data, int(headers[SEQUENCE]), unix_time(headers[TIME]), own or None)


def status(message: Message) -> str:
    """The status code of a message that carries no data, or nothing."""
    return (message.headers or {}).get(STATUS, "") if not message.data else ""


def unix_time(text: str) -> float:
    """Unix seconds of an RFC 3339 time, to the microsecond."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    return seconds + (float(f"0.{fraction[:9]}") if fraction else 0.0)


def rfc3339(seconds: float) -> str:
    """The RFC 3339 time of Unix seconds, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def key_value(stored: Stored, prefix: int) -> KeyValue:
    """The key and value in a bucket's message; `prefix` is the length of `$KV.<bucket>.`. A marker has no value."""
    headers = stored.headers or {}
    gone = headers.get(KV_OPERATION) in ("DEL", "PURGE") or MARKER_REASON in headers
    return KeyValue(stored.subject[prefix:], None if gone else stored.data, stored.sequence)
