"""What this process has heard of others, and what it makes of it: `Witness` decides who is there, without I/O.

Signs of death, quickest first: a disconnect advisory, a 503 on a probe, a lease that ran out. On the first two the process
is *buried*: off the list at once, its lease to be purged. Any of them may be wrong, so a buried process comes back with a
lease of another connection, with a lease written after the purge, or by answering a probe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from mesh.protocols.ports import KeyValue
from mesh.registry.advisories import Connection
from mesh.registry.buckets import LEASE_PREFIX
from mesh.registry.listing import Change
from mesh.registry.outage import Outage
from mesh.registry.records import Beat, Figures, Instance, Lease, instance_in, lease_in
from mesh.registry.roster import Roster
from mesh.registry.suspicion import Suspicions

BURIALS_KEPT = 4096
LONGEST_LEASE = 300


class Errands(Protocol):
    """What a witness wants done outside; each is done later, once, and only if it still makes sense then."""

    def purge(self, process: str) -> None:
        """Remove the lease of a buried process."""

    def reconsider(self, process: str) -> None:
        """Ask a buried process, whose lease was written again, whether it lives."""

    def sweep(self, process: str) -> None:
        """Remove records that nobody alive stands behind."""

    def settle(self) -> None:
        """Call `settle` when expiries count again."""


class Burial(NamedTuple):
    """The process as it was when it was buried, or as its lease stood when last heard."""

    lease: Lease
    raw: bytes
    revision: int


class Witness:
    """Feeds the roster. `emit` is told of every change; times are monotonic seconds."""

    def __init__(self, errands: Errands, emit: Callable[[Sequence[Change]], None], outage: Outage) -> None:
        self.roster = Roster()
        self.outage = outage
        self.buried: dict[str, Burial] = {}
        self.lease_seconds = 3
        self.rewritten_within = 0.0
        """Seconds that it may take, beyond a lease, until what the store lost is there again."""
        self._errands = errands
        self._emit = emit
        self._suspicions = Suspicions()
        self._missing_leases: set[str] = set()
        self._missing_records: set[str] = set()

    # -- leases

    def lease(self, change: KeyValue, now: float) -> None:
        """The lease of a process was written, removed, or ran out."""
        process = change.key.removeprefix(LEASE_PREFIX)
        if change.value is None:
            self._lease_gone(process, change.revision, now)
            return
        self._missing_leases.discard(process)
        if self.roster.renew(process, change.value, change.revision, now):
            self._alive(process)
            return
        lease = lease_in(change.key, change.value)
        if lease is not None and not self._still_buried(lease, change):
            self._admit(Burial(lease, change.value, change.revision), now)

    def _still_buried(self, lease: Lease, change: KeyValue) -> bool:
        """A lease of the very connection that ended: an echo of its last renewal, or we were mistaken. Ask."""
        old = self.buried.get(lease.process)
        if old is None or _connection(old.lease) != _connection(lease) or old.lease.incarnation != lease.incarnation:
            return False
        if change.revision != old.revision and change.value is not None:
            self.buried[lease.process] = Burial(lease, change.value, change.revision)
            self._errands.reconsider(lease.process)
        return True

    def _admit(self, found: Burial, now: float) -> None:
        process = found.lease.process
        self.buried.pop(process, None)
        self.lease_seconds = min(LONGEST_LEASE, max(self.lease_seconds, found.lease.seconds))
        self._welcome(self.roster.admit(found.lease, found.raw, found.revision, now))
        self._alive(process)
        if self.roster.leftovers(process):
            self._errands.sweep(process)

    def _lease_gone(self, process: str, revision: int, now: float) -> None:
        self.buried.pop(process, None)
        member = self.roster.members.get(process)
        if member is None:
            return
        if revision <= member.revision:
            self.outage.forgot(now, max(self.rewritten_within, self.lease_seconds))
        if self.outage.doubtful(now):
            self._missing_leases.add(process)
            self._errands.settle()
        else:
            self._gone(process, "its lease ended")

    def _gone(self, process: str, why: str) -> None:
        changes = self.roster.dismiss(process, why)
        self._suspicions.heard(process)
        for each in changes:
            if each.listing is not None:
                self._judge(self._suspicions.forget(each.listing.key))
        self._emit(changes)
        self._errands.sweep(process)

    @property
    def poor(self) -> Mapping[str, str]:
        """The versions whose outputs several processes found wanting, as `Suspicions.poor`: always the same object."""
        return self._suspicions.poor

    # -- death and doubt

    def disconnected(self, connection: Connection, why: str) -> None:
        """The server says that this connection ended."""
        process = self.roster.by_connection.get(connection)
        if process is not None:
            self.bury(process, why)

    def nobody_listens(self, process: str, incarnation: str, now: float, here: str) -> None:
        """A probe met no responders. Says nothing while everybody is only just coming back after an outage.

        `here` is the id of the server that we are connected to. Of a process at another server of a cluster it is no proof:
        that server may have died, and the process be on its way to the next one. It is passed over until it is heard of,
        and gone when its lease has run out.
        """
        member = self.roster.members.get(process)
        if member is None or member.lease.incarnation != incarnation or self.outage.doubtful(now):
            return
        if member.lease.server_id == here:
            self.bury(process, "nobody listens where it should")
        else:
            self.silent(process, "nobody listens where it should, and its server may be down")

    def bury(self, process: str, why: str) -> bool:
        """The process is dead, by good evidence. False if it was not listed. Again: nothing happens."""
        member = self.roster.members.get(process)
        if member is None:
            return False
        self._missing_leases.discard(process)
        self.buried[process] = Burial(member.lease, member.raw, member.revision)
        if len(self.buried) > BURIALS_KEPT:
            del self.buried[next(iter(self.buried))]
        self._gone(process, why)
        self._errands.purge(process)
        return True

    def exhume(self, process: str, now: float) -> None:
        """The buried process answered: it is alive."""
        found = self.buried.get(process)
        if found is not None:
            self._admit(found, now)

    def silent(self, process: str, why: str) -> None:
        """The process did not answer: it is suspected until a sign of life comes."""
        if process in self.roster.members:
            self._suspicions.silent(process, why)
            self._judge_process(process)

    def accuse(self, key: str, why: str) -> None:
        """Something is held against an instance, here. Of one that is not listed: nothing happens, for its successor may be."""
        if key in self.roster.listed:
            self._suspicions.accuse(key, why)
            self._judge([key])

    def absolve(self, key: str) -> None:
        """It proved itself."""
        if self._suspicions.absolve(key):
            self._judge([key])

    def _alive(self, process: str) -> None:
        if self._suspicions.heard(process):
            self._judge_process(process)

    def _welcome(self, changes: Sequence[Change]) -> None:
        """Who comes, or comes back, may have votes against it already; what was held against an earlier start is over."""
        self._emit(changes)
        for each in changes:
            if each.kind == "instance-down" and each.listing is not None:
                self._judge(self._suspicions.forget(each.listing.key))
        self._judge(
            each.listing.key
            for each in changes
            if each.kind == "instance-up" and each.listing is not None and self._suspicions.voted_out(each.listing.key)
        )

    def _judge_process(self, process: str) -> None:
        self._judge(each.key for each in self.roster.of_process(process))

    def _judge(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            why = self._suspicions.held_against(key)
            voted = "" if why else self._suspicions.voted_out(key)
            self._emit(self.roster.doubt(key, why or voted, by_votes=bool(voted)))

    # -- records and figures

    def record(self, change: KeyValue, now: float, known: Instance | None = None) -> None:
        """The record of an instance was written or removed. `known` is what was written, if that need not be read."""
        if change.value is None:
            self._record_gone(change.key, change.revision, now)
            return
        self._missing_records.discard(change.key)
        instance = known or instance_in(change.key, change.value)
        if instance is not None:
            self._welcome(self.roster.record(instance, change.revision))
            listing = self.roster.listed.get(change.key)
            if listing is None:
                self._errands.sweep(instance.process)
            elif listing.figures.breakers:  # they may have come before the record
                self._judge(self._suspicions.told(change.key, listing.figures.breakers))

    def _record_gone(self, key: str, revision: int, now: float) -> None:
        """A marker that it was removed is newer than what we know; else it is missing from a fresh look, and no more."""
        if revision <= self.roster.revision(key):
            self.outage.forgot(now, max(self.rewritten_within, self.lease_seconds))
        if self.outage.doubtful(now) and key in self.roster.listed:
            self._missing_records.add(key)
            self._errands.settle()
        else:
            self._remove(key)

    def _remove(self, key: str) -> None:
        self._judge(self._suspicions.forget(key))
        self._emit(self.roster.forget(key, "its record was removed"))

    def beat(self, beat: Beat, now: float) -> None:
        """A heartbeat, or the answer to a probe. One of an earlier incarnation counts for nothing."""
        member = self.roster.members.get(beat.process)
        if member is not None:
            if member.lease.incarnation != beat.incarnation:
                return
            member.seen_at = now
            self._alive(beat.process)
        for key, figures in beat.figures.items():
            self.figures(f"{beat.process}.{key}", figures, now)

    def figures(self, key: str, figures: Figures, now: float) -> None:
        """Fresh figures of an instance."""
        if self.roster.figures(key, figures, now) is not None:
            self._judge(self._suspicions.told(key, figures.breakers))

    # -- after an outage

    def settle(self, now: float) -> None:
        """If expiries count again: whatever is still missing is gone."""
        if self.outage.doubtful(now):
            self._errands.settle()
            return
        leases, self._missing_leases = self._missing_leases, set()
        records, self._missing_records = self._missing_records, set()
        for process in leases:
            self._gone(process, "its lease was not renewed after the store was away")
        for key in records:
            self._remove(key)


def _connection(lease: Lease) -> Connection:
    return (lease.server_id, lease.client_id)
