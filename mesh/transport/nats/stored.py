"""Messages of a stream as the server hands them out: by direct get, or by a consumer."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from mesh.protocols.errors import Refused
from mesh.protocols.ports import Headers, KeyValue, Message, Stored
from mesh.transport.headers import KV_OPERATION, MARKER_REASON
from mesh.transport.nats.received import BlockHeaders

STATUS_LINE = b"NATS/1.0 "
"""How the header block begins of what the server says itself; a code and words follow."""
DELIVERED = b"$JS.ACK."
"""How the reply subject of a consumer's message begins; what the server says itself has none, or another one."""
_VERSION_SIZE = len(b"NATS/1.0")
_END = b"\r\n\r\n"
_FIRST = b"\r\nNats-Stream: "
_DESCRIPTION = re.compile(
    rb"\r\nNats-Stream: [^\r]*\r\nNats-Subject: ([^\r]*)\r\nNats-Sequence: (\d+)\r\nNats-Time-Stamp: ([^\r]*)\r\n"
)
"""What the server writes behind a message's own headers in the answer to a direct get."""


class Position(NamedTuple):
    """Where a delivered message stands: in the stream, in the consumer, how often it was delivered, what is left behind it."""

    sequence: int
    delivered: int
    attempts: int
    time: float
    pending: int


def position(reply: bytes) -> Position:
    """Read the reply subject of a consumer's message.

    `$JS.ACK.<stream>.<consumer>.<attempts>.<sequence>.<delivered>.<time>.<pending>`, with domain and account hash
    before the stream (and a token behind) on servers that use the longer form.
    """
    tokens = reply.split(b".")
    attempts, sequence, delivered, time, pending = tokens[4:] if len(tokens) == 9 else tokens[6:11]
    return Position(int(sequence), int(delivered), int(attempts), int(time) / 1e9, int(pending))


def from_delivery(where: Position, subject: bytes, block: bytes, data: bytes) -> Stored:
    """The stored message that a consumer delivered."""
    return Stored(
        subject.decode("utf-8", "replace"), data, where.sequence, where.time, BlockHeaders(block) if block else None
    )


def from_direct_get(message: Message) -> Stored:
    """The stored message in the answer to a direct get; the headers that describe it are taken off.

    Raises:
        Refused: the answer is not in the server's words.
    """
    block = message.headers.block if isinstance(message.headers, BlockHeaders) else b""
    end = block.rfind(_FIRST)
    found = _DESCRIPTION.match(block, end) if end >= 0 else None
    if found is None:
        raise Refused(f"an answer to a direct get does not say which message it is: {block[:200]!r}")
    subject, sequence, time = found.groups()
    own = BlockHeaders(block[:end] + _END) if end > _VERSION_SIZE else None
    return Stored(subject.decode("utf-8", "replace"), message.data, int(sequence), unix_time(time.decode()), own)


def status(message: Message) -> str:
    """The status code of an answer to a direct get; nothing when it is a message, whatever its own headers pretend."""
    block = message.headers.block if isinstance(message.headers, BlockHeaders) else b""
    if message.data or not block.startswith(STATUS_LINE) or _FIRST in block:
        return ""
    return block[len(STATUS_LINE) :][:3].decode()


def unix_time(text: str) -> float:
    """Unix seconds of an RFC 3339 time in UTC, to the microsecond."""
    fraction = text[19:-1]
    return _whole_seconds(text[:19]) + (float(f"0{fraction}") if fraction else 0.0)


@lru_cache(maxsize=256)
def _whole_seconds(text: str) -> float:
    """Neighbours in a stream are often of the same second."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def rfc3339(seconds: float) -> str:
    """The RFC 3339 time of Unix seconds, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def key_value(stored: Stored, prefix: int) -> KeyValue:
    """The key and value in a bucket's message; `prefix` is the length of `$KV.<bucket>.`. A marker has no value."""
    gone = not stored.data and stored.headers is not None and _is_marker(stored.headers)
    key = sys.intern(stored.subject[prefix:])  # the tables of whoever watches are kept by it
    return KeyValue(key, None if gone else stored.data, stored.sequence)


def _is_marker(headers: Headers) -> bool:
    return headers.get(KV_OPERATION) in ("DEL", "PURGE") or MARKER_REASON in headers
