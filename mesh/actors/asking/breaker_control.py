"""What a person is told of the breakers here, and may do with them: the control message `breakers`.

Forced open lasts as long as this process: breakers are memory. What is to be off for good, everywhere, is a kill switch's.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from mesh.protocols.breaker_rows import BreakerRow, BreakersWanted
from mesh.protocols.errors import BadPayload
from mesh.resilience.breaker_names import target_meant
from mesh.resilience.breakers import Breakers, Key
from mesh.resilience.quality import version_of

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

EVENTS = {"open": "breaker.forced", "close": "breaker.released", "reset": "breaker.reset"}
"""What each deed is called in the log and among the stored events."""
LONGEST = 500
"""So many characters of a reason, or of who it was, are kept."""


class BreakerControl:
    """Answers for the breakers of one process, of all kinds."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def answer(self, payload: bytes | msgspec.Raw) -> list[BreakerRow]:
        """Do what is wanted. Answers the breakers that were meant, as they stand now. Again: the same.

        Raises:
            BadPayload: it is no `BreakersWanted`, or one that says too little.
        """
        wanted = _read(payload)
        if wanted.act in EVENTS and not (wanted.target or wanted.capability):
            raise BadPayload(f"say which breakers to {wanted.act}: a target, a capability, or both")
        if wanted.act == "open" and not wanted.reason:
            raise BadPayload("say why it is to be open: reason")
        rows: list[BreakerRow] = []
        for breakers in self._of_kind(wanted):
            keys = self._keys(breakers, wanted)
            for key in keys:
                self._do(breakers, key, wanted)
            rows += breakers.rows(keys, history=wanted.act == "show")
        return rows

    def _of_kind(self, wanted: BreakersWanted) -> Iterator[Breakers]:
        """Where nothing else is said, it is calls that are held back."""
        kind = wanted.kind or ("call" if wanted.act == "open" else None)
        peer = self._peer
        return (each for each in (peer.breakers, peer.tools.breakers, peer.quality) if kind in (None, each.kind))

    def _keys(self, breakers: Breakers, wanted: BreakersWanted) -> list[Key]:
        known = breakers.meant(wanted)
        if wanted.act != "open":
            return known
        return sorted({*known, *self._not_needed_yet(breakers, wanted)})

    def _not_needed_yet(self, breakers: Breakers, wanted: BreakersWanted) -> Iterator[Key]:
        """A breaker can be forced open before anybody has called: of whoever is listed, or by its whole name."""
        if breakers.kind == "tool":
            if (
                wanted.target
                and wanted.capability
                and not any(mark in wanted.target + wanted.capability for mark in "*?[")
            ):
                yield wanted.target, wanted.capability
            return
        for listing in self._peer.directory.instances():
            version = version_of(listing.agent, listing.record.version)
            target = version if breakers.kind == "quality" else listing.key
            if wanted.target and not target_meant(wanted.target, target):
                continue
            for each in (*listing.record.capabilities, *listing.record.commands):
                if fnmatchcase(each.name or each.command, wanted.capability or "*"):
                    yield target, each.name or each.command

    def _do(self, breakers: Breakers, key: Key, wanted: BreakersWanted) -> None:
        if wanted.act not in EVENTS:
            return
        by, reason = wanted.by[:LONGEST], wanted.reason[:LONGEST]
        if wanted.act == "open":
            breakers.force(*key, reason, by)
        elif wanted.act == "close":
            breakers.release(*key, by)
        else:
            breakers.reset(*key, by)
        self._note(EVENTS[wanted.act], kind=breakers.kind, target=key[0], capability=key[1], by=by, reason=reason)

    def _note(self, event: str, **about: str) -> None:
        """In the log, and stored among the events of the mesh: who did it, and why."""
        peer = self._peer
        peer.telemetry.emit(event, level="warning", **about)
        peer.spawn(peer.emit(event, {"process": peer.process, **about}), f"store {event}")


def _read(payload: bytes | msgspec.Raw) -> BreakersWanted:
    if bytes(payload) in (b"", b"null"):
        return BreakersWanted()
    try:
        return msgspec.json.decode(payload, type=BreakersWanted)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadPayload(f"not what is asked of breakers: {error}") from None
