"""The directory's memory: leases, records, and the indexes that make a lookup a dictionary access.

Without I/O. An instance is listed while its process is a member (it has a lease) and its record was written by the very
incarnation that holds the lease. Every method answers what changed by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from mesh.protocols.constraints import Effect
from mesh.registry.advisories import Connection
from mesh.registry.declaration import Declaration
from mesh.registry.listing import Change, Listing
from mesh.registry.records import Capability, Figures, Instance, Lease, share

Query = tuple[str | None, str | None, tuple[tuple[str, str], ...]]
Table = dict[str, dict[str, Listing]]

QUERIES_KEPT = 64
EARLY_KEPT = 4096


class Member(msgspec.Struct, eq=False):
    """A process with a lease. `raw` is the lease as stored, so that a renewal is told by comparing bytes."""

    lease: Lease
    raw: bytes
    revision: int
    seen_at: float

    @property
    def connection(self) -> Connection:
        """What a disconnect advisory would name."""
        return (self.lease.server_id, self.lease.client_id)


class Roster:
    """Who is there, by process, key, agent, capability and connection."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.listed: dict[str, Listing] = {}
        self.by_agent: Table = {}
        self.by_connection: dict[Connection, str] = {}
        self._records: dict[str, Listing] = {}
        self._revisions: dict[str, int] = {}
        self._of_process: Table = {}
        self._by_capability: Table = {}
        self._answers: dict[str, dict[Query, tuple[Listing, ...]]] = {}
        self._declarations: dict[str, Declaration] = {}
        self._of_agent: dict[str, tuple[Listing, ...]] = {}
        self._early: dict[str, tuple[Figures, float]] = {}
        self._usual = Figures()

    # -- leases

    def renew(self, process: str, raw: bytes, revision: int, now: float) -> bool:
        """The lease was written again unchanged: by far the most frequent message. False if it is anything else."""
        member = self.members.get(process)
        if member is None or member.raw != raw:
            return False
        member.revision, member.seen_at = revision, now
        return True

    def admit(self, lease: Lease, raw: bytes, revision: int, now: float) -> list[Change]:
        """The process has this lease. Its records of the same incarnation are listed from now on."""
        old = self.members.get(lease.process)
        changes: list[Change] = []
        if old is not None and old.lease.incarnation != lease.incarnation:
            changes += self.dismiss(lease.process, "started afresh")
            old = None
        if old is not None:
            self.by_connection.pop(old.connection, None)
        member = Member(lease, raw, revision, now)
        self.members[lease.process] = member
        self.by_connection[member.connection] = lease.process
        return changes if old is not None else changes + self._welcome(lease)

    def _welcome(self, lease: Lease) -> list[Change]:
        records = self._of_process.get(lease.process, {}).values()
        ups = [self._list(each) for each in records if each.record.incarnation == lease.incarnation]
        return [Change("process-up", lease.process), *ups]

    def dismiss(self, process: str, why: str) -> list[Change]:
        """The process has no lease any more. Its records are remembered, but not listed."""
        member = self.members.pop(process, None)
        if member is None:
            return []
        self.by_connection.pop(member.connection, None)
        gone = [each for each in self._of_process.get(process, {}).values() if each.key in self.listed]
        return [*(self._unlist(each, why) for each in gone), Change("process-down", process, why=why)]

    # -- records

    def record(self, instance: Instance, revision: int) -> list[Change]:
        """The record of an instance is this."""
        key = instance.key
        self._revisions[key] = revision
        listing = self._records.get(key)
        if listing is None:
            return self._first(key, instance)
        listed = key in self.listed
        if listed and listing.record == instance:
            return []
        if listed:
            self._unindex(listing)
        if listing.record.incarnation != instance.incarnation:
            listing.figures, listing.seen_at, listing.suspicion, listing.by_votes = Figures(), None, "", False
        listing.record = instance
        if not self._belongs(instance):
            return [self._gone(listing, "left over from an earlier start")] if listed else []
        change = self._list(listing)
        return [Change("instance-changed", instance.process, listing) if listed else change]

    def _first(self, key: str, instance: Instance) -> list[Change]:
        alike = next(iter(self.by_agent.get(instance.agent, {}).values()), None)
        if alike is not None and alike.record.host is not instance.host:
            share(instance, alike.record)
        listing = Listing(instance, key=key)
        if early := self._early.pop(key, None):
            listing.figures, listing.seen_at = early
        self._records[key] = listing
        self._of_process.setdefault(instance.process, {})[key] = listing
        return [self._list(listing)] if self._belongs(instance) else []

    def forget(self, key: str, why: str) -> list[Change]:
        """The record is gone."""
        listing = self._records.pop(key, None)
        self._revisions.pop(key, None)
        if listing is None:
            return []
        _discard(self._of_process, listing.process, key)
        return [self._unlist(listing, why)] if key in self.listed else []

    def leftovers(self, process: str) -> dict[str, int]:
        """Records of the process that nobody alive stands behind, with their revisions."""
        records = self._of_process.get(process, {})
        return {key: self._revisions[key] for key, each in records.items() if not self._belongs(each.record)}

    def revision(self, key: str) -> int:
        """That of the record; 0 if there is none."""
        return self._revisions.get(key, 0)

    def start(self, key: str) -> str:
        """The incarnation of its process which wrote the record; empty if there is none."""
        found = self._records.get(key)
        return "" if found is None else found.record.incarnation

    def recorded(self) -> Sequence[str]:
        """Every process that has records, alive or not."""
        return list(self._of_process)

    # -- figures and doubts

    def figures(self, key: str, figures: Figures, now: float) -> Listing | None:
        """Fresh figures of an instance; those that come before its record wait for it."""
        if figures == self._usual:
            figures = self._usual
        else:
            self._usual = figures
        listing = self._records.get(key)
        if listing is not None:
            listing.figures, listing.seen_at = figures, now
            return listing
        self._early[key] = (figures, now)
        if len(self._early) > EARLY_KEPT:
            del self._early[next(iter(self._early))]
        return None

    def doubt(self, key: str, why: str, *, by_votes: bool = False) -> list[Change]:
        """What is held against an instance, here or `by_votes`; empty for nothing. Again: nothing happens."""
        listing = self.listed.get(key)
        if listing is None or listing.suspicion == why:
            return []
        listing.suspicion, listing.by_votes = why, by_votes
        self._stale(listing)
        return [Change("instance-changed", listing.process, listing, why or "suspected no longer")]

    # -- looking

    def lookup(
        self, capability: str, labels: Mapping[str, str] | None, version: str | None, state: str | None
    ) -> tuple[Listing, ...]:
        """Who offers the capability. The answer is kept until anything about these instances changes."""
        table = self._by_capability.get(capability)
        if table is None:
            return ()
        answers = self._answers.setdefault(capability, {})
        query = (version, state, tuple(sorted(labels.items())) if labels else ())
        found = answers.get(query)
        if found is None:
            if len(answers) >= QUERIES_KEPT:
                answers.clear()
            found = tuple(each for each in table.values() if each.fits(labels=labels, version=version, state=state))
            answers[query] = found
        return found

    def declared(self, capability: str) -> Capability | None:
        """What those who offer it say of it, of several the strictest. Kept like the answers of `lookup`."""
        found = self._declarations.get(capability) or self._declaration(capability)
        return found.capability if found is not None else None

    def effects(self, capability: str) -> frozenset[Effect]:
        """Those that are listed: more than one while a release is rolled out that changes it. Kept likewise."""
        found = self._declarations.get(capability) or self._declaration(capability)
        return found.effects if found is not None else frozenset()

    def _declaration(self, capability: str) -> Declaration | None:
        ready = self.lookup(capability, None, None, "ready")
        offered = [each.record.offers(capability) for each in (*ready, *self.lookup(capability, None, None, None))]
        if not (declared := [each for each in offered if each is not None]):
            return None
        made = self._declarations[capability] = Declaration.of(declared)
        return made

    def of_agent(self, agent: str) -> tuple[Listing, ...]:
        """The listed instances of one agent. Kept like the answers of `lookup`."""
        found = self._of_agent.get(agent)
        if found is None and agent in self.by_agent:
            found = self._of_agent[agent] = tuple(self.by_agent[agent].values())
        return found or ()

    def hosts(self, process: str, agent: str) -> bool:
        """Whether the process has a record of an instance of the agent."""
        start = f"{process}.{agent}."
        return any(key.startswith(start) for key in self._of_process.get(process, ()))

    def of_process(self, process: str) -> list[Listing]:
        """The listed instances of one process."""
        return [each for key, each in self._of_process.get(process, {}).items() if key in self.listed]

    @property
    def capabilities(self) -> list[str]:
        """Every capability that somebody listed offers."""
        return sorted(self._by_capability)

    # -- indexes

    def _belongs(self, instance: Instance) -> bool:
        member = self.members.get(instance.process)
        return member is not None and member.lease.incarnation == instance.incarnation

    def _list(self, listing: Listing) -> Change:
        key = listing.key
        self.listed[key] = listing
        self.by_agent.setdefault(listing.agent, {})[key] = listing
        for each in listing.record.capabilities:
            self._by_capability.setdefault(each.name, {})[key] = listing
        self._stale(listing)
        return Change("instance-up", listing.process, listing)

    def _unlist(self, listing: Listing, why: str) -> Change:
        self._unindex(listing)
        return self._gone(listing, why)

    def _gone(self, listing: Listing, why: str) -> Change:
        listing.suspicion, listing.by_votes = "", False
        return Change("instance-down", listing.process, listing, why)

    def _unindex(self, listing: Listing) -> None:
        key = listing.key
        self.listed.pop(key, None)
        _discard(self.by_agent, listing.agent, key)
        for each in listing.record.capabilities:
            _discard(self._by_capability, each.name, key)
        self._stale(listing)

    def _stale(self, listing: Listing) -> None:
        self._of_agent.pop(listing.agent, None)
        for each in listing.record.capabilities:
            self._answers.pop(each.name, None)
            self._declarations.pop(each.name, None)


def _discard(table: Table, name: str, key: str) -> None:
    """Remove an entry, and the inner table with its last one."""
    inner = table.get(name)
    if inner is not None:
        inner.pop(key, None)
        if not inner:
            del table[name]
