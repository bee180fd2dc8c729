"""The registry's word on owners: who is dead, and whether we ourselves are alive for certain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from mesh.jobs.owning.seat import Incumbent, Seat
from mesh.registry.records import Capability

if TYPE_CHECKING:
    from mesh.actors.peer import Peer


def seat_of(peer: Peer) -> Seat:
    """The seat of a process that is a peer of the mesh."""
    return Seat(
        bus=peer.bus,
        store=peer.store,
        clock=peer.clock,
        ids=peer.ids,
        subjects=peer.subjects,
        process=peer.process,
        incarnation=peer.identity.incarnation,
        telemetry=peer.telemetry,
        holds_lease=lambda: peer.presence.confident,
        unsettled=lambda: peer.directory.outage.doubtful(peer.clock.monotonic()),
        gone=gone_by(peer),
        declared=declared_by(peer),
        policy=peer.policy,
        counts=peer.counts,
    )


def gone_by(peer: Peer) -> Callable[[Collection[Incumbent]], Awaitable[Collection[Incumbent]]]:
    """Who of some owners has no lease any more. While the store was away, a missing lease proves nothing."""

    async def gone(owners: Collection[Incumbent]) -> Collection[Incumbent]:
        directory = peer.directory
        if directory.outage.doubtful(peer.clock.monotonic()):
            return ()
        leases = {each: directory.process(each.process) for each in owners}
        return [each for each, lease in leases.items() if lease is None or lease.incarnation != each.incarnation]

    return gone


def declared_by(peer: Peer) -> Callable[[str], Capability | None]:
    """What those who offer a capability declare of it, the strictest of them."""
    return peer.directory.declared
