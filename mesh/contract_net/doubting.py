"""Who of the acceptable bidders is passed over, because breakers here or elsewhere speak against them. See
`actors.asking.doubts`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mesh.protocols.selection import Offer
from mesh.registry.listing import Listing

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

Ranking = list[tuple[float, int]]
"""Cost and place, the cheapest first."""


def undoubted(
    peer: Peer, capability: str, drawn: Sequence[Listing], offers: Sequence[Offer], ranked: Ranking
) -> Ranking:
    """The ranking without those in doubt, of which the offers then say why: only the two best matter, and are looked at.
    Where everybody is in doubt, those that the breakers here let through."""
    doubts, index = peer.doubts, 0
    if not doubts.any:
        return ranked
    passed = []
    while index < min(2, len(ranked)):
        place = ranked[index][1]
        if objection := doubts.against(drawn[place], capability):
            offers[place].objection = objection
            passed.append(ranked.pop(index))
        else:
            index += 1
    return ranked or _let_through(peer, capability, drawn, offers, passed)


def _let_through(
    peer: Peer, capability: str, drawn: Sequence[Listing], offers: Sequence[Offer], ranked: Ranking
) -> Ranking:
    """Of those in doubt, whom calls may go to all the same: if there is nobody else."""
    doubts = peer.doubts
    if any(not doubts.against(each, capability) for each in peer.directory.lookup(capability)):
        return []
    left = [each for each in ranked if not doubts.refuses(drawn[each[1]], capability)]
    for _, place in left:
        offers[place].objection = ""
    return left
