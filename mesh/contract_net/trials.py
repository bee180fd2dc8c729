"""`Trials`: awards by which this process finds out whether a bidder that it, or everybody, passes over is well again.

Left to chance this would take for ever: whoever failed bids badly, and a suspect is not even looked at. So as soon as a breaker
here lets trial calls through, the next call that fits goes there, at first one whose work may be repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mesh.actors.asking.routing import REPEATABLE
from mesh.contract_net.calls import Call
from mesh.contract_net.sampling import Sample
from mesh.protocols.selection import SelectionPolicy

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.contract_net.market import Market


class Trials:
    """For one initiator."""

    def __init__(self, peer: Peer, market: Market) -> None:
        self._peer = peer
        self._market = market

    def sample(self, call: Call, policy: SelectionPolicy) -> Sample | None:
        """Whom to award this call to, to find out; nearly always None. What it was worth lately is not held against it."""
        doubts, capability = self._peer.doubts, call.capability
        if not (doubts.any and doubts.may_try(capability)):
            return None
        repeatable = call.effect in REPEATABLE
        there = self._market.everybody(capability, call.constraints)
        free = (each for each in there if each.agent not in call.chain)
        found = doubts.trial(free, lambda each: (capability, repeatable))
        if found is None:
            return None
        whatever = msgspec.structs.replace(policy, floor=0.0)
        return self._market.only(found, capability, call.constraints, call.deadline.at, whatever, len(there))

    def objection(self, key: str, capability: str) -> str:
        """Why a proposal of this instance counts for nothing, while there are others; empty: it counts."""
        doubts, directory = self._peer.doubts, self._peer.directory
        listing = directory.listing(key)
        if listing is None or not (listing.by_votes or doubts.any):
            return ""
        why = f"suspect: {listing.suspicion}" if listing.by_votes else doubts.against(listing, capability)
        others = any(
            each is not listing and not doubts.against(each, capability) for each in directory.lookup(capability)
        )
        return why if others else ""
