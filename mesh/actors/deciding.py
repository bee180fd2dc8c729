"""`Deciding`: an operator's side of the policies: decide, put it on record, and hear from every process that it obeys.

The decision is written first: it must hold even if nothing else can be done. Then it becomes a stored event,
`policy.changed` of the agent `policy`, so that next week it is known who killed what; then every process that the registry knows is
asked by which revision it goes.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.exchanging.lineage import Lineage
from mesh.policy.policy import open_policies
from mesh.protocols.envelope import Sender
from mesh.protocols.errors import MeshError, Refused, Transient
from mesh.protocols.policies import Entry
from mesh.resilience.deadline import Deadline

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

EVENT = "policy.changed"
AUTHOR = "policy"
WITHIN = 1.0
"""Seconds in which every process says that it obeys, unless somebody stands still."""
POLL = 0.02


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a decision. `in_force` names the processes that go by it, `seconds` after it was stored the last of them
    said so; `silent` those that did not say so in time. `unrecorded` says why there is no event of it."""

    key: str
    revision: int
    in_force: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    seconds: float = 0.0
    unrecorded: str = ""


class Deciding:
    """Decisions by `by` (`user@host`); `within` so many seconds every process is to say that it obeys."""

    def __init__(self, peer: Peer, by: str, within: float = WITHIN) -> None:
        self._peer = peer
        self._by = by
        self._within = within

    async def decide(self, key: str, entry: Entry) -> Decided:
        """Set it, in place of what stood there. Again: the newer one counts.

        Raises:
            Unavailable · TimedOut: whether it was stored is unknown; look, or set it again.
        """
        now = self._peer.clock.now()
        stamped = msgspec.structs.replace(entry, by=entry.by or self._by, at=now)
        until = getattr(entry, "until", None)
        ttl = None if until is None else max(1, math.ceil(until - now))
        bucket = await open_policies(self._peer.store, self._peer.subjects)
        revision = await bucket.put(key, msgspec.json.encode(stamped), ttl=ttl)
        return await self._proven(key, revision, "set", stamped)

    async def lift(self, key: str, reason: str = "") -> Decided:
        """It holds no more.

        Raises:
            Refused: there is no such decision. Unavailable · TimedOut: as `decide`.
        """
        bucket = await open_policies(self._peer.store, self._peer.subjects)
        if await bucket.get(key) is None:
            raise Refused(f"nothing is decided under {key}")
        await bucket.delete(key)
        return await self._proven(key, 0, "unset", Entry(by=self._by, reason=reason, at=self._peer.clock.now()))

    async def _proven(self, key: str, revision: int, action: str, entry: Entry) -> Decided:
        began = self._peer.clock.monotonic()
        record = {"key": key, "action": action, "revision": revision, **msgspec.to_builtins(entry)}
        unrecorded, seconds = await asyncio.gather(self._record(record), self._heard(key, revision))
        silent = tuple(sorted(name for name, at in seconds.items() if at is None))
        took = max((at - began for at in seconds.values() if at is not None), default=0.0)
        in_force = tuple(sorted(seconds.keys() - set(silent)))
        return Decided(
            key=key, revision=revision, in_force=in_force, silent=silent, seconds=took, unrecorded=unrecorded
        )

    async def _record(self, record: dict[str, Any]) -> str:
        peer = self._peer
        author = Lineage(sender=Sender(AUTHOR, peer.process, peer.process))
        try:
            await peer.events.emit(EVENT, record, author)
        except MeshError as error:
            return error.message
        return ""

    async def _heard(self, key: str, revision: int) -> dict[str, float | None]:
        """When each process said that it goes by this revision; None: it did not in time."""
        names = [lease.process for lease in self._peer.directory.processes()]
        deadline = Deadline.after(self._peer.clock, self._within)
        return dict(
            zip(
                names,
                await asyncio.gather(*(self._obeys(each, key, revision, deadline) for each in names)),
                strict=True,
            )
        )

    async def _obeys(self, process: str, key: str, revision: int, deadline: Deadline) -> float | None:
        peer = self._peer
        subject = peer.subjects.rpc(process, "peer", "peer", peer.process)
        payload = msgspec.Raw(msgspec.json.encode({"key": key}))
        while not deadline.expired:
            question = peer.root.compose(peer.ids, "control", "policy", payload, version=peer.tongue.version)
            try:
                answer = await peer.exchange.ask(subject, question, deadline=deadline)
                known = msgspec.json.decode(answer.payload)["revision"]
                if (known >= revision) if revision else not known:
                    return peer.clock.monotonic()
            except Transient:
                pass  # it may be about to come back, as everybody is after the server was away
            except (MeshError, msgspec.MsgspecError, KeyError, TypeError):
                return None
            await peer.clock.sleep(POLL)
        return None
