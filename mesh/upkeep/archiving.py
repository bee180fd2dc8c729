"""`Archiving`: ended jobs leave the journal, in an order in which a crash anywhere loses nothing.

    copy        entries into an archive, read back, then its index
    tombstone   the last entry of the journal: where the rest is, and the outcome
    purge       everything before the tombstone; the inbox and the timers of the job
    outlived    the tombstone itself, after the horizon

Each step is only begun when the one before is on the disk, and each run first finishes what the one before has begun: a copy
without a tombstone is used again, what stands before a tombstone is purged. What hosts have taken in is purged from the
ingress, so that nothing can hand a job in again once its tombstone is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import INBOX, INGRESS, TIMERS
from mesh.jobs.journals.values import Values
from mesh.jobs.owning.hosted import KnownWorkflows
from mesh.protocols.errors import JournalCorrupt
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.job_state import JobState, Recorded, is_tombstone
from mesh.protocols.ports import Clock, Ids, Store
from mesh.protocols.subjects import Subjects
from mesh.upkeep.archive_folder import ArchivedJob, ArchiveFolder, Index, JobDigest
from mesh.upkeep.archive_lines import Line
from mesh.upkeep.naming import named_in
from mesh.upkeep.order import has_jobs
from mesh.upkeep.policy import Retention
from mesh.upkeep.tombstone import set_tombstone, tombstone_of

T = TypeVar("T")

BATCH_JOBS = 2000
BATCH_BYTES = 64 * 1024 * 1024
"""An archive ends once it has so many jobs, or so many bytes."""
AT_ONCE = 32
"""Jobs that are read, and whose tombstones are set, at once."""


@dataclass(slots=True)
class Report:
    """What a run did: jobs archived, tombstones of earlier runs behind which it purged, tombstones outlived, messages purged
    from the ingress, archives written, and journals that were left because they cannot be read."""

    archived: int = 0
    finished: int = 0
    outlived: int = 0
    ingress: int = 0
    archives: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Candidate:
    """One job that is to go: its state, its entries, and its line in the index."""

    state: JobState
    lines: list[Line]
    row: ArchivedJob


class Archiving:
    """The archiving of one namespace into one folder. `reached` is told of each step as it is done, for tests."""

    def __init__(
        self,
        store: Store,
        subjects: Subjects,
        clock: Clock,
        ids: Ids,
        folder: ArchiveFolder,
        retention: Retention,
        *,
        reached: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._store = store
        self._subjects = subjects
        self._clock = clock
        self._ids = ids
        self._folder = folder
        self._retention = retention
        self._journals = Journals(store, subjects)
        self._values = Values(store, subjects, clock)
        self._reached = reached
        self._objects: set[str] = set()

    async def due(self, tenant: str = "*") -> list[Recorded]:
        """The last entries of the jobs that a run would archive now."""
        return [each for each in await self._heads(tenant) if self._is_due(each)]

    async def run(self, tenant: str = "*") -> Report:
        """Archive what is due, of one tenant or of all. Again: what became due since.

        Raises:
            Refused: another run works on the folder. BadArchive: the folder cannot be written. ExtraMissing: see the format.
            Unavailable · TimedOut: the store is out of reach; run it again.
        """
        report = Report()
        with self._folder.alone():
            self._folder.clean()
            if not await has_jobs(self._store, self._subjects):
                return report
            heads = await self._heads(tenant)
            tombs = [each for each in heads if is_tombstone(each.entry)]
            report.finished = await self._finish(tenant, tombs)
            await self._archive([each for each in heads if self._is_due(each)], report)
            report.ingress = await self._clear_ingress(tenant)
            report.outlived = await self._bury(tombs)
        return report

    async def _heads(self, tenant: str) -> list[Recorded]:
        return await self._journals.heads(tenant) if await has_jobs(self._store, self._subjects) else []

    def _is_due(self, head: Recorded) -> bool:
        ended = head.entry.head.state in TERMINAL and not is_tombstone(head.entry)
        return ended and self._retention.due(head.entry.tenant, head.time, self._clock.now())

    # -- copy

    async def _archive(self, due: list[Recorded], report: Report) -> None:
        if not due:
            return
        objects = await self._values.objects()
        self._objects = {each.digest for each in await objects.all()}
        for tenant in sorted({each.entry.tenant for each in due}):
            mine = [each for each in due if each.entry.tenant == tenant]
            last = self._folder.latest(tenant)  # a crash leaves at most the copies of one batch without tombstones
            there = {job.id: (last, job) for job in last.jobs} if last is not None else {}
            async for batch in self._batches(mine, report):
                await self._archive_batch(batch, there, report)

    async def _batches(self, heads: list[Recorded], report: Report) -> AsyncIterator[list[_Candidate]]:
        batch: list[_Candidate] = []
        size = 0
        for start in range(0, len(heads), AT_ONCE):
            found = await _all(self._candidate(each, report) for each in heads[start : start + AT_ONCE])
            for candidate in found:
                if candidate is not None:
                    batch.append(candidate)
                    size += sum(len(each.entry) for each in candidate.lines)
            if len(batch) >= BATCH_JOBS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def _candidate(self, head: Recorded, report: Report) -> _Candidate | None:
        tenant, job = head.entry.tenant, head.entry.job
        try:
            state = await self._journals.state(tenant, job)
        except JournalCorrupt:
            report.unreadable.append(job)
            return None
        stored = await self._store.read(self._journals.stream_of(job), self._subjects.job(tenant, job))
        if state.head is None or not state.terminal or not stored or stored[-1].sequence != state.sequence:
            return None
        lines, digest = [], JobDigest()
        for each in stored:
            lines.append(Line(tenant, job, each.sequence, each.time, each.data.decode()))
            digest.add(lines[-1])
        named = {name for each in stored for name in named_in(each.data)}
        row = ArchivedJob(
            id=job,
            tenant=tenant,
            workflow=state.head.workflow,
            state=state.head.state,
            entries=len(lines),
            last=state.sequence,
            ended=head.time,
            digest=digest.hexdigest(),
            key=state.submitted.key if state.submitted else "",
            objects=tuple(sorted(named & self._objects)),
        )
        return _Candidate(state, lines, row)

    async def _archive_batch(
        self, batch: list[_Candidate], there: dict[str, tuple[Index, ArchivedJob]], report: Report
    ) -> None:
        copied = {
            each.row.id: there[each.row.id][0] for each in batch if there.get(each.row.id, (None, None))[1] == each.row
        }
        for index in {index.archive: index for index in copied.values()}.values():
            self._folder.verify(index)
        new = [each for each in batch if each.row.id not in copied]
        if new:
            lines = (line for each in new for line in each.lines)
            now = self._clock.now()
            rows = [each.row for each in new]
            index = self._folder.write(self._name(now), rows, lines, self._retention.format, now)
            report.archives.append(index.archive)
            copied |= {each.row.id: index for each in new}
        self._reached("copied")
        for start in range(0, len(batch), AT_ONCE):
            some = batch[start : start + AT_ONCE]
            report.archived += sum(await _all(self._entomb(each, copied[each.row.id].archive) for each in some))

    def _name(self, now: float) -> str:
        return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S.%f}-{self._ids.token()}"

    # -- tombstone, purge

    async def _entomb(self, candidate: _Candidate, archive: str) -> bool:
        state, tenant = candidate.state, candidate.row.tenant
        event = await tombstone_of(state, tenant, archive, candidate.row.entries, self._values)
        sequence = await set_tombstone(self._journals, self._ids, state, tenant, event)
        self._reached("entombed")
        if sequence is None:
            return False
        await self._purge(tenant, state.job, sequence)
        self._reached("purged")
        await self._purge_said(tenant, state.job)
        self._reached("silenced")
        return True

    async def _purge(self, tenant: str, job: str, tombstone: int) -> None:
        stream = self._journals.stream_of(job)
        await self._store.purge(stream, self._subjects.job(tenant, job), up_to=tombstone - 1)

    async def _purge_said(self, tenant: str, job: str) -> None:
        """What was said to the job, and its timers."""
        await self._store.purge(self._subjects.stream(INBOX), self._subjects.inbox(tenant, job))
        await self._store.purge(self._subjects.stream(TIMERS), self._subjects.timers_of(tenant, job))

    async def _finish(self, tenant: str, tombs: list[Recorded]) -> int:
        """Purge what an earlier run left before and beside its tombstones; how many jobs that were."""
        left: dict[str, Recorded] = {}
        by_stream: dict[str, dict[str, Recorded]] = {}
        for each in tombs:
            subject = self._subjects.job(each.entry.tenant, each.entry.job)
            by_stream.setdefault(self._journals.stream_of(each.entry.job), {})[subject] = each
        for stream, subjects in by_stream.items():
            counts = await self._store.counts(stream, self._subjects.job_filter(tenant))
            left |= {tomb.entry.job: tomb for subject, tomb in subjects.items() if counts.get(subject, 0) > 1}
        said = await self._still_said(tenant)
        left |= {each.entry.job: each for each in tombs if each.entry.job in said}
        for job, tomb in left.items():
            await self._purge(tomb.entry.tenant, job, tomb.sequence)
            await self._purge_said(tomb.entry.tenant, job)
        return len(left)

    async def _still_said(self, tenant: str) -> set[str]:
        """The jobs that have something in their inbox, or a timer."""
        inboxes = await self._store.counts(self._subjects.stream(INBOX), self._subjects.inbox_filter(tenant))
        timers = await self._store.counts(self._subjects.stream(TIMERS), self._subjects.timers_of(tenant))
        return {self._subjects.parse_inbox(each).job for each in inboxes} | {
            self._subjects.parse_timer(each).job for each in timers
        }

    # -- the end

    async def _bury(self, tombs: list[Recorded]) -> int:
        """Remove the tombstones that nobody can ask for any more."""
        now = self._clock.now()
        old = [each for each in tombs if self._retention.outlived(each.time, now)]
        for each in old:
            subject = self._subjects.job(each.entry.tenant, each.entry.job)
            await self._store.purge(self._journals.stream_of(each.entry.job), subject, up_to=each.sequence)
            await self._purge_said(each.entry.tenant, each.entry.job)
        return len(old)

    async def _clear_ingress(self, tenant: str) -> int:
        """Purge what has been taken in; how many messages that were."""
        names = {each.name for each in await KnownWorkflows(self._store, self._subjects).all()}
        stream, gone = self._subjects.stream(INGRESS), 0
        for name in sorted(names):
            done = await self._store.handled(stream, f"in-{name}")
            where = self._subjects.ingress_filter(name) if tenant == "*" else self._subjects.ingress(tenant, name)
            if done:
                gone += await self._store.purge(stream, where, up_to=done)
        return gone


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results; each has ended when the first error is raised, so that nothing goes on behind it."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return [each for each in done if not isinstance(each, BaseException)]
