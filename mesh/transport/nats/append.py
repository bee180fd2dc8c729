"""Publishing into a stream, and what its acknowledgement means.

Many appends may be in flight: each is a future that the acknowledgement resolves, and no task. What most of them say beside
their data, a guard and a message id, is put into bytes as it stands, without a dict on the way.
"""

from __future__ import annotations

import msgspec

from mesh.protocols.errors import NoResponders, TimedOut, Unavailable
from mesh.protocols.ports import Ack, Headers
from mesh.transport.headers import EXPECTED, MESSAGE_ID
from mesh.transport.nats.api import TIMEOUT, ApiError, refusal
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.frames import encode_headers

_GUARDED = f"NATS/1.0\r\n{EXPECTED}: %d\r\n\r\n".encode()
_NAMED = f"NATS/1.0\r\n{MESSAGE_ID}: %b\r\n\r\n".encode()
_NAMED_AND_GUARDED = f"NATS/1.0\r\n{MESSAGE_ID}: %b\r\n{EXPECTED}: %d\r\n\r\n".encode()


class _PubAck(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


_pub_ack = msgspec.json.Decoder(_PubAck)


def append_block(message_id: str = "", expected: int | None = None, headers: Headers | None = None) -> bytes:
    """The header block of an append; empty when it says nothing."""
    if headers or not message_id.isprintable():
        return encode_headers(_merged(message_id, expected, headers))
    if message_id:
        name = message_id.strip().encode()
        return _NAMED % name if expected is None else _NAMED_AND_GUARDED % (name, expected)
    return b"" if expected is None else _GUARDED % expected


def _merged(message_id: str, expected: int | None, headers: Headers | None) -> Headers:
    merged = dict(headers or ())
    if message_id:
        merged[MESSAGE_ID] = message_id
    if expected is not None:
        merged[EXPECTED] = str(expected)
    return merged


async def append(bus: NatsBus, subject: str, data: bytes, block: bytes = b"", timeout: float = TIMEOUT) -> Ack:
    """Store a message in whichever stream captures its subject.

    Raises:
        Conflict: the guard in the headers does not hold, or another append is on its way in.
        TimedOut: unknown whether it was stored: no answer, or the connection was lost before one came.
        NoResponders: no stream captures the subject. Unavailable: nothing was sent.
    """
    try:
        reply = await bus.ask(subject, data, timeout=timeout, block=block)
    except NoResponders as error:
        raise NoResponders(f"no stream captures {subject}, or JetStream is away") from error
    except Unavailable as error:
        if error.detail.get("sent"):
            raise TimedOut(f"the connection was lost while {subject} was appended: read back") from error
        raise
    return _read(reply.data, subject)


def _read(data: bytes, subject: str) -> Ack:
    try:
        answer = _pub_ack.decode(data)
    except msgspec.DecodeError as error:
        raise TimedOut(f"{subject}: something that is no stream answered the append: read back") from error
    if answer.error is not None:
        raise refusal(answer.error, subject)
    return Ack(answer.stream, answer.seq, answer.duplicate)
