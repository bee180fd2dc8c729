"""Reading a stream from its leader, one message a question: slow, and never behind.

Direct gets are answered by any replica, and what was acknowledged a moment ago may not have reached that one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.protocols.errors import Refused
from mesh.transport.nats.api import NO_MESSAGE, call, insist
from mesh.transport.nats.bus import NatsBus


class Held(msgspec.Struct):
    """A message as the leader tells it; its headers are left where they are."""

    seq: int
    data: bytes = b""


class _Answer(msgspec.Struct):
    message: Held


async def newest(bus: NatsBus, stream: str, subject: str) -> Held | None:
    """The newest message on an exact subject."""
    return await _ask(bus, stream, {"last_by_subj": subject})


async def everything(bus: NatsBus, stream: str, subject: str) -> list[Held]:
    """Every message on `subject`, in order."""
    found: list[Held] = []
    while True:
        after = found[-1].seq if found else 0
        held = await _ask(bus, stream, {"next_by_subj": subject, "seq": after + 1})
        if held is None:
            return found
        found.append(held)


async def _ask(bus: NatsBus, stream: str, question: dict[str, Any]) -> Held | None:
    """None also where we may not ask: then what the replica said stands."""
    try:
        answer = await insist(bus, lambda: call(bus, f"STREAM.MSG.GET.{stream}", question))
    except Refused as error:
        if error.detail.get("err_code") == NO_MESSAGE or error.detail.get("reason") == "permissions":
            return None
        raise
    return msgspec.json.decode(answer, type=_Answer).message
