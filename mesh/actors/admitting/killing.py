"""Kill switches where work is asked for, and where it is taken.

Who asks passes over what is killed, and is told `Killed` at once where nothing else is left. Who is asked refuses, also what
waits in a mailbox already; a process that asks may not have heard yet. What runs goes on, unless the switch says `now`.

A tenant, a capability, an agent, a version or an instance: any switch that covers one of these is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mesh.policy.board import Change
from mesh.policy.policy import Policy
from mesh.protocols.policies import Switch
from mesh.registry.listing import Listing

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.actors.running.actor import Actor
    from mesh.actors.running.work import Work


def killed_listing(policy: Policy, listing: Listing, capability: str = "") -> Switch | None:
    """The switch that kills this instance, for this capability; None: none does."""
    record = listing.record
    return policy.killed(
        agent=record.agent, version=record.version, instance=record.instance, capability=capability
    )  # fmt: skip


def spared(policy: Policy, listings: Sequence[Listing], capability: str = "") -> Sequence[Listing]:
    """Those that are not killed; ask only while there are switches.

    Raises:
        Killed: all of them are, however many there are.
    """
    found: Switch | None = None
    left = []
    for listing in listings:
        if (switch := killed_listing(policy, listing, capability)) is None:
            left.append(listing)
        else:
            found = found or switch
    if found is not None and not left:
        raise found.error()
    return left


def killed_work(policy: Policy, actor: Actor, work: Work) -> Switch | None:
    """The switch that kills a message in this actor's hands; None: none does."""
    definition = actor.definition
    return policy.killed(
        tenant=work.envelope.tenant, capability=work.handler.capability, agent=definition.name,
        version=definition.version, instance=actor.instance,
    )  # fmt: skip


class Killing:
    """What a switch does to a process at the moment it is set: it is told, and with `now` what runs is cancelled."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        peer.policy.on_change(self._changed)

    def _changed(self, change: Change) -> None:
        entry = change.entry
        about = change.before if entry is None else entry
        if about is not None:
            self._peer.telemetry.emit(
                "policy.changed", level="warning", key=change.key, state="gone" if entry is None else "in force",
                by=about.by, reason=about.reason,
            )  # fmt: skip
        if isinstance(entry, Switch) and entry.now:
            for actor in tuple(self._peer.actors.values()):
                actor.kill(self._peer.policy)
