"""What an initiator has learned of bidders: its own track record and the words of others, made into corrections of bids.

The corrections of a capability are made anew a few times a second at most. Nearly always there are none: one version is on
offer and keeps its promises, and then a choice costs one look into a dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from mesh.contract_net.track_record import Bidder, TrackRecord
from mesh.protocols.conduct import Forgetting
from mesh.protocols.learned import INHERITED, Evidence, Learned, departs, learn
from mesh.protocols.newcomers import TRIALS
from mesh.registry.hearsay import Hearsay
from mesh.registry.listing import Listing

FRESH = 0.25
"""Seconds for which corrections hold, at least."""
FRESH_EACH = 0.001
"""And so much longer for each instance that has a record: making them takes longer, too."""
CAPABILITIES = 1_000
"""Capabilities whose corrections are kept."""

Offer = tuple[str, str]
"""An agent and its version."""
Offered = frozenset[Offer]


class Corrections(NamedTuple):
    """What is believed beyond the bids of one capability: of versions, and of instances that are not as their version is."""

    versions: dict[Offer, Learned]
    instances: dict[Bidder, Learned]

    def of(self, key: str, agent: str, version: str) -> Learned | None:
        """Of one instance; None: its bid is believed."""
        special = self.instances.get(Bidder(key, agent, version)) if self.instances else None
        return special or self.versions.get((agent, version))


class View(NamedTuple):
    """Corrections as they were made for these listings; good until then."""

    listings: Sequence[Listing]
    offered: Offered
    until: float
    corrections: Corrections | None


class Learning:
    """What one initiator has learned. What happened is told its `record`; a broken commitment through here."""

    def __init__(self, hearsay: Hearsay | None = None, forgetting: Forgetting | None = None) -> None:
        self.record = TrackRecord(forgetting)
        self._hearsay = hearsay or Hearsay()
        self._views: dict[str, View] = {}

    # -- what happened

    def broken(self, bidder: Bidder, capability: str, now: float) -> None:
        """As `TrackRecord.broken`; the next choice knows."""
        self.record.broken(bidder, capability, now)
        self._views.pop(capability, None)

    # -- what that means

    def corrections(self, capability: str, listings: Sequence[Listing], now: float) -> Corrections | None:
        """What is believed beyond the bids of all these, who offer it; None if they are to be believed."""
        view = self._views.get(capability)
        if view is not None and view.until > now and view.listings is listings:
            return view.corrections
        return self._look(capability, listings, now, view).corrections

    def of(self, capability: str, listings: Sequence[Listing], bidder: Bidder, now: float) -> Learned | None:
        """What is believed of one of them."""
        corrections = self.corrections(capability, listings, now)
        return corrections.of(*bidder) if corrections is not None else None

    def _look(self, capability: str, listings: Sequence[Listing], now: float, before: View | None) -> View:
        if before is not None and before.listings is listings:
            offered = before.offered
        else:
            offered = frozenset((each.record.agent, each.record.version) for each in listings)
        if len(self._views) >= CAPABILITIES:
            self._views.clear()
        corrections = self._made(capability, offered, now)
        until = now + FRESH + FRESH_EACH * len(self.record)
        view = View(listings, offered, until, corrections)
        self._views[capability] = view
        return view

    def _made(self, capability: str, offered: Offered, now: float) -> Corrections | None:
        own, words = self.record.about(capability, now), self._hearsay.about(capability, now)
        if not own and not words:
            return None
        all_of_them = dict.fromkeys([*own, *words, *sorted(offered)])  # in an order that is the same in every run
        evidence = {each: Evidence(own.get(each), words.get(each, ())) for each in all_of_them}
        versions = _versions(offered, evidence)
        instances = {
            bidder: special
            for bidder, conduct in self.record.instances(capability, now).items()
            if (common := versions.get(bidder[1:])) is not None
            and (whole := own.get(bidder[1:])) is not None
            and (special := departs(conduct, whole, common)) is not None
        }
        if len(offered) == 1 and not instances:
            return None  # they are all alike: nothing that is believed of them all makes a difference between them
        telling = {each: found for each, found in versions.items() if found.telling}
        return Corrections(telling, instances) if telling or instances else None


def _versions(offered: Offered, evidence: Mapping[Offer, Evidence]) -> dict[Offer, Learned]:
    """What is believed of each version on offer. A newcomer is one of which little is known where more is known of others."""
    older = {each: _older(each, evidence) for each in offered}
    tried = {
        each: evidence[each].tried + (INHERITED * before.tried if (before := older[each]) is not None else 0.0)
        for each in offered
    }
    anybody_known = any(each >= TRIALS for each in tried.values())
    found = {}
    for each in offered:
        before = older[each]
        learned = learn(evidence[each], None if before is None else learn(before))
        new = anybody_known and tried[each] < TRIALS
        found[each] = msgspec.structs.replace(learned, newcomer=True) if new else learned
    return found


def _older(offer: Offer, evidence: Mapping[Offer, Evidence]) -> Evidence | None:
    """The evidence on the version before: of the others of the same agent, that of which most is known."""
    others = [found for (agent, version), found in evidence.items() if agent == offer[0] and version != offer[1]]
    return max(others, key=lambda each: each.weight, default=None)
