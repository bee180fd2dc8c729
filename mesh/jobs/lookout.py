"""`Lookout`: finds jobs that nobody drives. Presence says when to look closer; that a claim is safe, the journal decides."""

from __future__ import annotations

from collections.abc import Collection

from mesh.jobs.backlog import Candidate
from mesh.jobs.heads import Heads
from mesh.jobs.journals import Journals
from mesh.jobs.seat import Incumbent, Seat
from mesh.jobs.snapshots import snapshot_at
from mesh.protocols.job_events import JobHead
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
        return [_candidate(each) for each in heads if each.entry.head.state != "running" or owner_of(each) in gone]

    def _ours(self, head: JobHead) -> bool:
        """Those that may need an owner. One that waits for nothing was let go of by mistake: it is taken up again."""
        needed = head.state in ("submitted", "running") or (head.state == "waiting" and not head.waits)
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
        epoch=-1 if entry.head.state == "submitted" else entry.epoch,
        snapshot=snapshot_at(record),
    )
