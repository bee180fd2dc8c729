"""Publishing into a stream, and what its acknowledgement means."""

from __future__ import annotations

import msgspec

from mesh.protocols.errors import NoResponders, TimedOut, Unavailable
from mesh.protocols.ports import Ack, Headers
from mesh.transport.nats.api import TIMEOUT, ApiError, refusal
from mesh.transport.nats.bus import NatsBus


class _PubAck(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


async def append(
    bus: NatsBus, subject: str, data: bytes, headers: Headers | None = None, timeout: float = TIMEOUT
) -> Ack:
    """Store a message in whichever stream captures its subject.

    Raises:
        Conflict: the guard in the headers does not hold, or another append is on its way in.
        TimedOut: unknown whether it was stored: no answer, or the connection was lost before one came.
        NoResponders: no stream captures the subject. Unavailable: nothing was sent.
    """
    try:
        reply = await bus.request(subject, data, timeout=timeout, headers=headers)
    except NoResponders as error:
        raise NoResponders(f"no stream captures {subject}, or JetStream is away") from error
    except Unavailable as error:
        if error.detail.get("sent"):
            raise TimedOut(f"the connection was lost while {subject} was appended: read back") from error
        raise
    return _read(reply.data, subject)


def _read(data: bytes, subject: str) -> Ack:
    try:
        answer = msgspec.json.decode(data, type=_PubAck)
    except msgspec.DecodeError as error:
        raise TimedOut(f"{subject}: something that is no stream answered the append: read back") from error
    if answer.error is not None:
        raise refusal(answer.error, subject)
    return Ack(answer.stream, answer.seq, answer.duplicate)
