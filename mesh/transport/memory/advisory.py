"""What the system account says of clients that come and go, in the real server's words (the fields anyone reads)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

from mesh.protocols.ports import Message

Occasion = Literal["CONNECT", "DISCONNECT"]


def advisory(
    occasion: Occasion,
    *,
    account: str,
    server_id: str,
    client_id: int,
    name: str,
    now: float,
    started: float,
    reason: str = "",
) -> Message:
    """The message on `$SYS.ACCOUNT.<account>.CONNECT|DISCONNECT`."""
    body = {
        "type": f"io.nats.server.advisory.v1.client_{occasion.lower()}",
        "timestamp": _rfc3339(now),
        "server": {"name": "memory", "id": server_id, "jetstream": True, "time": _rfc3339(now)},
        "client": {
            "start": _rfc3339(started),
            "host": "127.0.0.1",
            "id": client_id,
            "acc": account,
            "name": name,
            "lang": "memory",
            **({"stop": _rfc3339(now)} if occasion == "DISCONNECT" else {}),
        },
    }
    if reason:
        body["reason"] = reason
    return Message(f"$SYS.ACCOUNT.{account}.{occasion}", msgspec.json.encode(body))


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
