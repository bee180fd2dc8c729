"""What is replaced while its stream is copied, and what is removed from it meanwhile.

The server notes how far a stream is, and copies, one after the other, the messages up to there that are still there. A key that
is rewritten before the copy has come to it, or the entry of an object that is put again, is neither there any more nor part of
the copy: so the newest of each that came after the copy's last sequence is saved beside it (`Later`). Of what was removed and
not replaced, nobody knows whether it is in the copy: that one is no use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mesh.protocols.ports import Stored, StreamState
from mesh.protocols.snapshots import Kept, Kind, Shape
from mesh.transport.headers import KV_OPERATION, MARKER_REASON, ROLLUP, TTL


class Rewritten(msgspec.Struct, frozen=True):
    """A message that came after the copy, as it is to be stored after it. A TTL counts from then."""

    subject: str
    sequence: int
    data: bytes
    headers: dict[str, str]


def rewritten(stored: Stored) -> Rewritten:
    """The same without what held only when it was stored: guards, message ids. That a key expired is said as its removal."""
    found = dict(stored.headers or {})
    headers = {name: found[name] for name in (TTL, ROLLUP, KV_OPERATION) if name in found}
    if MARKER_REASON in found:
        headers |= {KV_OPERATION: "PURGE", ROLLUP: "sub"}
    return Rewritten(stored.subject, stored.sequence, stored.data, headers)


def replaceable(kept: Kept) -> str:
    """The subjects of a stream on which a message takes the place of the one before: keys, and the entries of objects. None: ''."""
    _, _, name = kept.state.name.partition("_")
    return {"bucket": f"$KV.{name}.>", "objects": f"$O.{name}.M.>", "stream": ""}[kept.kind]


def varies(kind: Kind, config: dict[str, Any]) -> bool:
    """Whether messages leave the stream by themselves: by age, for want of room, once they are done with, or as keys lapse."""
    bounded = config.get("max_age") or config.get("max_bytes", -1) > 0 or config.get("retention", "limits") != "limits"
    return bool(kind == "bucket" or bounded or config.get("allow_msg_schedules"))


def is_whole(kind: Kind, shape: Shape, now: StreamState, later: Sequence[Stored]) -> bool:
    """Whether nothing is missing in the copy that `later` does not have; `now` is the stream after it was copied."""
    messages, last = int(shape.state.get("messages", 0)), int(shape.state.get("last_seq", 0))
    if kind == "bucket":  # whoever is asked may lag behind
        return now.last <= last or (bool(later) and later[-1].sequence >= now.last)
    gone = messages - (now.messages - (now.last - last))
    return varies(kind, shape.config) or gone <= len(later)
