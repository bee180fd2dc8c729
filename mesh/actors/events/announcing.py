"""`Announcing`: events that nobody stores: heard now, or never.

They leave without waiting for anything, on subjects that no stream captures, in batches while they follow one another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.declaring.contract import encode_payload
from mesh.actors.events.batch import Batches
from mesh.actors.events.event_ids import EventIds
from mesh.actors.events.letterhead import Letterhead
from mesh.actors.exchanging.lineage import Lineage
from mesh.protocols.envelope import encode
from mesh.protocols.errors import MeshError, TooLarge
from mesh.protocols.references import LIMIT

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

KEPT = 256
"""Letterheads kept at once: one for each type of event that this process emits by itself."""


class Announcing:
    """The unstored events of one process. With `batches` false each is a message of its own."""

    def __init__(self, peer: Peer, *, batches: bool = True) -> None:
        self._peer = peer
        self._tongue = peer.tongue
        self._version = 0
        self._event_ids = EventIds(peer.clock, peer.ids)
        self._letterheads: dict[str, tuple[str, Letterhead]] = {}
        self._batches = Batches(peer.bus.publish, self._lost)
        self._send = self._batches.send if batches else peer.bus.publish

    def announce(self, event_type: str, payload: Any, lineage: Lineage | None = None) -> None:
        """Let an event leave, without a lineage as the process's own: at most once, and nobody notices when it is lost.
        Again: a second event.

        Raises:
            TooLarge: more than fits in a message; store it. BadPayload · InvalidName · Overloaded · Unavailable.
        """
        content = payload if isinstance(payload, msgspec.Raw) else encode_payload(payload)
        if lineage is None:
            known = self._letterheads.get(event_type) if self._tongue.version == self._version else None
            subject, letterhead = known or self._new_letterhead(event_type)
            data = letterhead.write(self._event_ids.draw(), content)
        else:
            subject, data = self._compose(event_type, content, lineage)
        if len(data) > LIMIT:
            raise TooLarge(
                f"an event of {len(data)} bytes cannot go unstored, {LIMIT} are allowed: emit it stored",
                detail={"size": len(data), "limit": LIMIT},
            )
        self._send(subject, data)

    def flush(self) -> None:
        """What waits for company leaves now."""
        self._batches.flush()

    def _new_letterhead(self, event_type: str) -> tuple[str, Letterhead]:
        root, version = self._peer.root, self._tongue.version
        if version != self._version or len(self._letterheads) >= KEPT:
            self._letterheads.clear()
            self._version = version
        subject = self._peer.subjects.now(root.tenant, root.sender.agent, event_type)
        made = subject, Letterhead.of(self._peer.ids, root, event_type, version)
        self._letterheads[event_type] = made
        return made

    def _compose(self, event_type: str, content: msgspec.Raw, lineage: Lineage) -> tuple[str, bytes]:
        subject = self._peer.subjects.now(lineage.tenant, lineage.sender.agent, event_type)
        version = self._peer.tongue.version
        return subject, encode(
            lineage.compose(self._peer.ids, "event", event_type, content, waits=False, version=version)
        )

    def _lost(self, number: int, error: MeshError) -> None:
        for _ in range(number):
            self._peer.count("event-unsent", error=error.code)
