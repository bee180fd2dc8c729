"""`Lookout`: finds jobs that nobody drives. Presence says when to look closer; that a claim is safe, the journal decides."""

from __future__ import annotations

from collections.abc import Collection

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.snapshots import snapshot_at
from mesh.jobs.owning.backlog import Candidate
from mesh.jobs.owning.heads import Heads
from mesh.jobs.owning.seat import Incumbent, Seat
from mesh.protocols.job_events import JobHead, OpenWait
from mesh.protocols.job_state import Recorded


class Lookout:
    """Looks over the heads of the journals. `hosted` are the (workflow, version) pairs of this process."""

    def __init__(self, seat: Seat, journals: Journals, hosted: Collection[tuple[str, int]]) -> None:
        self._seat = seat
        self._hosted = hosted
        self._looked_for: frozenset[tuple[str, int]] = frozenset()
        self._heads = Heads(journals, seat.clock, self._ours)

    async def look(self, running: Collection[str]) -> list[Candidate]:
        """Every job of our workflows that nobody owns, or whose owner is gone; `running` are those we drive ourselves.

        Raises:
            Unavailable · TimedOut · NoResponders: the store is out of reach.
        """
        if self._looked_for != frozenset(self._hosted):
            self._looked_for = frozenset(self._hosted)
            self._heads.forget()
        heads = [each for each in await self._heads.current() if each.entry.job not in running]
        gone = await self._gone({owner_of(each) for each in heads if each.entry.head.state == "running"})
        return [_candidate(each) for each in heads if self._needs_owner(each, gone)]

    def _needs_owner(self, record: Recorded, gone: set[Incumbent]) -> bool:
        head = record.entry.head
        if head.state == "running":
            return owner_of(record) in gone
        return head.state != "waiting" or not head.waits or any(map(self._allowed, head.waits))

    def _allowed(self, wait: OpenWait) -> bool:
        """Whether what it waited for to be allowed is."""
        return wait.kind == "killed" and wait.name not in self._seat.policy.switches

    def _ours(self, head: JobHead) -> bool:
        """Those that may need an owner. One that waits for nothing was let go of by mistake: it is taken up again. One that waits
        for an operator needs one the moment that it is allowed."""
        held = head.state == "waiting" and (not head.waits or any(each.kind == "killed" for each in head.waits))
        needed = held or head.state in ("submitted", "running")
        return needed and (head.workflow, head.version) in self._looked_for

    async def _gone(self, owners: set[Incumbent]) -> set[Incumbent]:
        """Our own name means: an earlier start of us, or a job that we gave up. The others are asked after."""
        mine = {each for each in owners if each.process == self._seat.process}
        others = owners - mine
        return mine | set(await self._seat.gone(others)) if others else mine


def owner_of(record: Recorded) -> Incumbent:
    """The owner that an entry's head names."""
    return Incumbent(record.entry.head.owner, record.entry.head.incarnation)


def _candidate(record: Recorded) -> Candidate:
    entry = record.entry
    return Candidate(
        job=entry.job,
        tenant=entry.tenant,
        workflow=entry.head.workflow,
        version=entry.head.version,
        priority=entry.head.priority,
        epoch=-1 if entry.head.state == "submitted" else entry.epoch,
        snapshot=snapshot_at(record),
    )
