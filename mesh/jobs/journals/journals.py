"""`Journals`: reading. Whoever asks what a job did, or follows what it does, stands here; only owners write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Iterator

from mesh.jobs.journals.snapshots import SnapshotReader, snapshot_at
from mesh.protocols.errors import JournalCorrupt, UnknownJob
from mesh.protocols.job_events import decode_entry
from mesh.protocols.job_state import JobState, Recorded, fold
from mesh.protocols.naming.jobs import SHARDS, shard_of
from mesh.protocols.ports import Store, Stored
from mesh.protocols.subjects import Subjects

logger = logging.getLogger("mesh.jobs")


def recorded(stored: Stored) -> Recorded:
    """A stored message as the entry it is.

    Raises:
        JournalCorrupt: it is none.
    """
    return Recorded(decode_entry(stored.data), stored.sequence, stored.time)


class Journals:
    """The journals of one mesh, over all the streams they are spread over."""

    def __init__(self, store: Store, subjects: Subjects) -> None:
        self.store = store
        self.subjects = subjects
        self._snapshots = SnapshotReader(store, subjects)
        self._corrupt: set[tuple[str, int]] = set()

    def stream_of(self, job: str) -> str:
        """The stream that holds the job's journal."""
        return self.subjects.job_stream(shard_of(job))

    async def read(self, tenant: str, job: str, *, after: int = 0) -> list[Recorded]:
        """A job's entries, oldest first, those that readers pass over included."""
        stored = await self.store.read(self.stream_of(job), self.subjects.job(tenant, job), after=after)
        return [await self._snapshots.whole(recorded(each)) for each in stored]

    async def state(self, tenant: str, job: str, *, snapshot: int | None = None) -> JobState:
        """What the job amounts to now. `snapshot` is where its last one stands, as far as the caller knows: 0 for none; None
        has it looked up.

        Raises:
            UnknownJob: it has no journal.
        """
        if snapshot is None:
            last = await self.last(tenant, job)
            snapshot = snapshot_at(last) if last else 0
        state = await self._resumed(tenant, job, snapshot) or fold(await self.read(tenant, job))
        if state.head is None:
            raise UnknownJob(f"no job {job} of tenant {tenant}")
        return state

    async def _resumed(self, tenant: str, job: str, snapshot: int) -> JobState | None:
        """The same, begun at the snapshot with that sequence, if one is there and fits."""
        records = await self.read(tenant, job, after=snapshot - 1) if snapshot else []
        if not records or records[0].sequence != snapshot:
            return None
        return await self._snapshots.resumed(records)

    async def last(self, tenant: str, job: str) -> Recorded | None:
        """The job's last entry, whose head is the job in one line; None where there is no journal."""
        stored = await self.store.last(self.stream_of(job), self.subjects.job(tenant, job))
        return recorded(stored) if stored else None

    async def heads(self, tenant: str = "*") -> list[Recorded]:
        """The last entry of every job, the oldest first: its `head` is the job in one line. A journal that ends in something
        else is left out, and told of once: it must not keep the others from being found."""
        wanted = self.subjects.job_filter(tenant)
        shards = await asyncio.gather(
            *(self.store.last_each(self.subjects.job_stream(shard), wanted) for shard in SHARDS)
        )
        return sorted((record for stored in shards for record in self._readable(stored)), key=lambda each: each.time)

    async def changed(self, shard: str, *, after: int) -> list[tuple[str, int, Recorded | None]]:
        """Of every journal of a shard that has grown since sequence `after`: its subject, and the sequence of its last entry
        with that entry, or None if it is none."""
        stored = await self.store.last_each(self.subjects.job_stream(shard), self.subjects.job_filter(), after=after)
        return [(each.subject, each.sequence, self._readable_or_none(each)) for each in stored]

    async def find(self, job: str) -> Recorded:
        """The last entry of the job with this id, or whose id begins so, whoever its tenant is.

        Raises:
            UnknownJob: there is none, or there are several.
        """
        exact = await self.store.last_each(self.stream_of(job), self.subjects.find_job(job))
        if exact:
            return recorded(exact[-1])
        near = [each for each in await self.heads() if each.entry.job.startswith(job)]
        if len(near) == 1:
            return near[0]
        if near:
            raise UnknownJob(f"{job!r} begins the ids of {len(near)} jobs: write more of it")
        raise UnknownJob(f"no job {job!r}: `mesh job ls` lists them")

    async def follow(self, tenant: str, job: str, *, after: int = 0) -> AsyncGenerator[Recorded, None]:
        """Every entry above sequence `after`, then those to come. Close it to stop."""
        stream = self.store.follow(self.stream_of(job), self.subjects.job(tenant, job), after=after)
        try:
            async for stored in stream:
                yield await self._snapshots.whole(recorded(stored))
        finally:
            await stream.aclose()  # type: ignore[attr-defined]

    def _readable(self, stored: Iterable[Stored]) -> Iterator[Recorded]:
        return filter(None, map(self._readable_or_none, stored))

    def _readable_or_none(self, stored: Stored) -> Recorded | None:
        try:
            return recorded(stored)
        except JournalCorrupt as error:
            place = (stored.subject, stored.sequence)
            if place not in self._corrupt:
                self._corrupt.add(place)
                logger.error("%s, at sequence %d: %s", stored.subject, stored.sequence, error)
            return None
