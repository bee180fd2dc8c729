"""`Sharing`: what a tenant's share does to a process at the moment it is decided: what waits already goes by it, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.policy.board import Change
from mesh.protocols.policies import TenantShare

if TYPE_CHECKING:
    from mesh.actors.peer import Peer


class Sharing:
    """For the mailboxes of one process."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        peer.policy.on_change(self._changed)

    def _changed(self, change: Change) -> None:
        if isinstance(change.entry, TenantShare):
            for actor in tuple(self._peer.actors.values()):
                actor.mailbox.share_out(actor)
                actor.pump()  # more of a tenant may run at once than before
