"""What one initiator has measured of those to whom it gave work: by version of an agent, and by instance.

Without I/O, and bounded: those not heard of for longest go first. Times are monotonic seconds. What is delivered is noted
first, and reckoned with the next look, that of one bidder together: awards follow one another closely, looks do not.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from mesh.protocols.acts import Bid, Proposal
from mesh.protocols.awards import Candidate
from mesh.protocols.conduct import Conduct, Forgetting, Statement

VERSIONS = 2_000
"""Versions of agents, each for one capability."""
INSTANCES = 10_000
"""Instances, each for one capability."""

NOTED = 1_000
"""Deliveries that are noted at most before they are reckoned."""
ASSUMED = 20
"""Awards after which a version is held to what it bids even where it says that it has done nothing yet."""

Version = tuple[str, str, str]
"""Capability, agent, version."""


class Bidder(NamedTuple):
    """Who had the award: `key` is `<process>.<agent>.<instance>`."""

    key: str
    agent: str
    version: str


def bidder(of: Proposal | Candidate) -> Bidder:
    """Who makes this proposal, or is this candidate."""
    return Bidder(f"{of.process}.{of.agent}.{of.instance}", of.agent, of.version)


Delivery = tuple[Bidder, str, Bid, float | None, float, bool]
"""By whom, for which capability, on which bid, in which time, for how much money; and whether the bid was founded."""


class Entry:
    """A record, faded up to `at`; `told` is how many awards it had when it was told last."""

    __slots__ = ("at", "conduct", "told")

    def __init__(self, at: float) -> None:
        self.conduct = Conduct()
        self.at = at
        self.told = 0.0

    def age(self, forgetting: Forgetting, now: float, calls: float = 1.0) -> Conduct:
        """The record for so many more calls, now."""
        self.conduct.fade(forgetting.kept(now - self.at, calls))
        self.at = now
        return self.conduct

    def seen(self, forgetting: Forgetting, now: float) -> Conduct:
        """A copy of the record as it counts by now."""
        return self.conduct.faded(forgetting.kept(now - self.at, 0))


class TrackRecord:
    """The records of one initiator."""

    def __init__(self, forgetting: Forgetting | None = None) -> None:
        self._forgetting = forgetting or Forgetting()
        self._versions: OrderedDict[Version, Entry] = OrderedDict()
        self._instances: OrderedDict[tuple[str, Bidder], Entry] = OrderedDict()
        self._noted: list[Delivery] = []
        self._now = 0.0

    # -- what happened

    def delivered(
        self,
        bidder: Bidder,
        capability: str,
        bid: Bid,
        now: float,
        seconds: float | None,
        money: float = 0.0,
        *,
        founded: bool = True,
    ) -> None:
        """It did the work of one award, made on this bid. Seconds are None if nobody measured them.

        Not `founded`: the bidder had done nothing yet when it bid, so that its time was assumed, not measured. Such a time
        is not held against it at first.
        """
        self._noted.append((bidder, capability, bid, seconds, money, founded))
        self._now = now
        if len(self._noted) >= NOTED:
            self._reckon()

    def failed(self, bidder: Bidder, capability: str, bid: Bid, now: float) -> None:
        """It tried and failed, by its own fault."""
        self._reckon()
        self._now = now
        for each in self._aged(bidder, capability):
            each.fail(bid)

    def broken(self, bidder: Bidder, capability: str, now: float) -> None:
        """It broke its commitment."""
        self._reckon()
        self._now = now
        for each in self._aged(bidder, capability):
            each.breach()

    def revoked(self, agent: str, version: str, capability: str) -> None:
        """An output of this version was found wanting afterwards: it counts as a failure. Of nobody who had an award: nothing."""
        self._reckon()
        entry = self._versions.get((capability, agent, version))
        if entry is not None:
            entry.conduct.revoke()

    def _reckon(self) -> None:
        """Take what was noted into the records, as of the time of the last of it."""
        noted, self._noted = self._noted, []
        together: dict[tuple[Bidder, str], Conduct] = {}
        for bidder, capability, bid, seconds, money, founded in noted:
            batch = together.get((bidder, capability))
            if batch is None:
                batch = together[bidder, capability] = Conduct()
            held = founded or batch.tried + self._tried(bidder, capability) >= ASSUMED
            batch.deliver(bid, seconds if held else None, money)
        for (bidder, capability), batch in together.items():
            share = self._forgetting.each(batch.tried)
            for each in self._aged(bidder, capability, batch.tried):
                each.absorb(batch, share)

    def _tried(self, bidder: Bidder, capability: str) -> float:
        entry = self._versions.get((capability, bidder.agent, bidder.version))
        return entry.conduct.tried if entry is not None else 0.0

    def _aged(self, bidder: Bidder, capability: str, calls: float = 1.0) -> tuple[Conduct, Conduct]:
        now = self._now
        version = self._version((capability, bidder.agent, bidder.version), now)
        key = (capability, bidder)
        instance = self._instances.get(key)
        if instance is None:
            instance = self._instances[key] = Entry(now)
            if len(self._instances) > INSTANCES:
                self._instances.popitem(last=False)
        else:
            self._instances.move_to_end(key)
        return version.age(self._forgetting, now, calls), instance.age(self._forgetting, now, calls)

    def _version(self, key: Version, now: float) -> Entry:
        entry = self._versions.get(key)
        if entry is None:
            entry = self._versions[key] = Entry(now)
            if len(self._versions) > VERSIONS:
                self._versions.popitem(last=False)
        else:
            self._versions.move_to_end(key)
        return entry

    # -- what is known

    def __len__(self) -> int:
        return len(self._instances)

    def about(self, capability: str, now: float) -> dict[tuple[str, str], Conduct]:
        """The records of all versions for one capability, by agent and version, as they count now."""
        self._reckon()
        return {
            (agent, version): entry.seen(self._forgetting, now)
            for (of, agent, version), entry in self._versions.items()
            if of == capability
        }

    def instances(self, capability: str, now: float) -> dict[Bidder, Conduct]:
        """Those of its instances of which there is enough to tell them from their version."""
        self._reckon()
        return {
            bidder: entry.seen(self._forgetting, now)
            for (of, bidder), entry in self._instances.items()
            if of == capability and (entry.conduct.calls >= 3.0 or entry.conduct.broken > 0.0)
        }

    def testify(self, most: int, now: float, *, changed: bool) -> tuple[Statement, ...]:
        """What others are told: the weightiest records as they count now, at most so many; with `changed` only what was not
        told yet. What is told to somebody who asks for all of it is news to the others still."""
        self._reckon()
        entries = [
            (entry.conduct.weight * self._forgetting.kept(now - entry.at, 0), key, entry)
            for key, entry in self._versions.items()
            if not changed or entry.conduct.tried != entry.told
        ]
        entries.sort(key=lambda each: each[0], reverse=True)
        for _, _, entry in entries[:most] if changed else ():
            entry.told = entry.conduct.tried
        return tuple(self._statement(key, entry, now) for _, key, entry in entries[:most])

    def _statement(self, key: Version, entry: Entry, now: float) -> Statement:
        conduct = entry.seen(self._forgetting, now)
        short = Conduct(**{name: round(getattr(conduct, name), 6) for name in conduct.__struct_fields__})
        return Statement(agent=key[1], version=key[2], capability=key[0], conduct=short)
