"""`Erasing`: everything of one tenant is removed: what it handed in, its jobs, letters, events, archives, and what only it named.

    refuse      while a process runs one of its jobs (or all that are not over are told to end, and waited for)
    objects     those that only the tenant names: who else names them is known only while everything is there
    ingress     nothing more is taken in
    streams     journals, inboxes, timers, letters, events, hints
    buckets     effects, conversations, letters seen to and webhooks of the tenant; its share, flags and rate limits
    archives    the files

A crash in the middle leaves less; doing it again does the rest. The state of agents is theirs and not a tenant's: it stays.
A kill switch of the tenant stays, too: it keeps what still comes in its name from being begun, which is a beginning anew.
Backups that were made before have everything still.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.values import Values
from mesh.protocols.errors import Conflict, Refused
from mesh.protocols.job_events import Archived
from mesh.protocols.job_inbox import Cancel
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.job_state import Recorded
from mesh.protocols.naming.names import check_name
from mesh.protocols.policies import BUCKET, LIMITS, grants
from mesh.protocols.ports import FRESH, BucketSpec, Clock, KeyValue, Store
from mesh.protocols.subjects import Subjects
from mesh.upkeep.archive_folder import ArchiveFolder
from mesh.upkeep.naming import named_in
from mesh.upkeep.order import has_jobs, prefix
from mesh.upkeep.sweep import named_by_buckets, named_by_streams, with_what_they_name

BY_KEY = ("effects", "history", "letters")
"""The buckets whose keys begin with the tenant. Of the others, a value that is a JSON object says its `tenant`."""
LOOK = 0.25


@dataclass(slots=True)
class Erased:
    """What was removed: messages by stream, keys by bucket, objects, archives; `left` are objects that were put lately, and
    could be about to be named by somebody else: a later sweep removes them."""

    tenant: str
    jobs: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    objects: int = 0
    left: int = 0
    archives: int = 0


class _Owned(msgspec.Struct):
    tenant: str = ""


class Erasing:
    """One tenant of one namespace."""

    def __init__(self, store: Store, subjects: Subjects, clock: Clock, folder: ArchiveFolder, tenant: str) -> None:
        self._store = store
        self._subjects = subjects
        self._clock = clock
        self._folder = folder
        self._tenant = check_name(tenant, "tenant")
        self._patterns = subjects.all_of(tenant)
        self._journals = Journals(store, subjects)

    async def cancel(self, within: float) -> None:
        """Tell every job that is not over to end, and wait until all are: by then what they had done is undone.

        Raises:
            Refused: some still are not after `within` seconds; nothing was removed.
        """
        for each in await self._unfinished():
            word = msgspec.json.encode(Cancel(by="mesh tenant erase", reason="the tenant is erased"))
            await self._store.append(self._subjects.inbox(self._tenant, each.entry.job), word)
        give_up = self._clock.monotonic() + within
        while left := await self._unfinished():
            if self._clock.monotonic() >= give_up:
                raise Refused(
                    f"{len(left)} jobs of {self._tenant} are not over after {within:g} s, such as {left[0].entry.job}, which is "
                    f"{left[0].entry.head.state}: nothing was removed; wait longer (--timeout), host their workflows, decide "
                    "what they wait for, or leave --cancel out: then nothing is undone of what no process runs"
                )
            await self._clock.sleep(LOOK)

    async def _unfinished(self) -> list[Recorded]:
        return [each for each in await self._heads() if each.entry.head.state not in TERMINAL]

    async def run(self) -> Erased:
        """Remove everything. Again: what is left.

        Raises:
            Refused: jobs run, or an archive is elsewhere; nothing was removed. Unavailable · TimedOut: do it again.
        """
        heads = await self._heads()
        running = [each for each in heads if each.entry.head.state == "running"]
        if running:
            raise Refused(
                f"{len(running)} jobs of {self._tenant} run, such as {running[0].entry.job}: nothing was removed; "
                "--cancel ends them first"
            )
        with self._folder.alone():
            self._check_archives(heads)
            erased = Erased(self._tenant, jobs=len(heads))
            await self._erase_objects(erased)
            await self._erase_messages(erased)
            await self._erase_keys(erased)
            erased.archives = self._folder.remove(self._tenant)
        return erased

    async def _heads(self) -> list[Recorded]:
        there = await has_jobs(self._store, self._subjects)
        return await self._journals.heads(self._tenant) if there else []

    def _check_archives(self, heads: list[Recorded]) -> None:
        there = {each.archive for each in self._folder.indexes(self._tenant)}
        for head in heads:
            tomb = head.entry.events[-1]
            if isinstance(tomb, Archived) and tomb.archive not in there:
                raise Refused(
                    f"job {head.entry.job} is archived in {tomb.archive}, which is not in {self._folder.path}: say where the "
                    "archives are (--folder); nothing was removed"
                )

    # -- objects

    async def _erase_objects(self, erased: Erased) -> None:
        objects = await Values(self._store, self._subjects, self._clock).objects()
        there = {each.digest: each for each in await objects.all()}
        if not there:
            return
        mine = await with_what_they_name(objects, await self._named_by_me() & set(there), there)
        others = await with_what_they_name(objects, await self._named_by_others() & set(there), there)
        for digest in sorted(mine - others):
            if self._clock.now() - there[digest].time < 2 * FRESH:
                erased.left += 1
                continue
            try:
                await objects.delete(there[digest])
                erased.objects += 1
            except Conflict:
                erased.left += 1

    async def _named_by_me(self) -> set[str]:
        found = {name for index in self._folder.indexes(self._tenant) for job in index.jobs for name in job.objects}
        for stream in await self._store.streams(prefix(self._subjects)):
            for pattern in self._patterns:
                for subject in await self._store.counts(stream.name, pattern):  # all at once may be more than memory
                    for each in await self._store.read(stream.name, subject):
                        found |= named_in(each.data)
        for spec in await self._store.buckets(prefix(self._subjects)):
            for key in await self._keys(spec):
                found |= named_in(key.value or b"")
        return found

    async def _named_by_others(self) -> set[str]:
        found = await named_by_streams(self._store, self._subjects, but=self._patterns)
        found |= await named_by_buckets(self._store, self._subjects, but=self._is_mine)
        jobs = (job for index in self._folder.indexes() for job in index.jobs)
        return found | {name for job in jobs if job.tenant != self._tenant for name in job.objects}

    # -- messages and keys

    async def _erase_messages(self, erased: Erased) -> None:
        streams = sorted(
            await self._store.streams(prefix(self._subjects)), key=lambda each: not each.name.endswith("_IN")
        )
        for stream in streams:
            gone = await asyncio.gather(*(self._store.purge(stream.name, each) for each in self._patterns))
            if sum(gone):
                erased.messages[stream.name] = sum(gone)

    async def _erase_keys(self, erased: Erased) -> None:
        for spec in await self._store.buckets(prefix(self._subjects)):
            bucket, keys = await self._store.bucket(spec), await self._keys(spec)
            for each in keys:
                await bucket.delete(each.key)
            if keys:
                erased.keys[spec.name] = len(keys)

    async def _keys(self, spec: BucketSpec) -> list[KeyValue]:
        return [each for each in await (await self._store.bucket(spec)).all() if self._is_mine(spec, each)]

    def _is_mine(self, spec: BucketSpec, entry: KeyValue) -> bool:
        if spec.name in [self._subjects.bucket(each) for each in BY_KEY]:
            return entry.key.startswith(f"{self._tenant}.")
        if spec.name == self._subjects.bucket("state"):
            return False
        if spec.name in [self._subjects.bucket(each) for each in (BUCKET, LIMITS)]:
            return grants(entry.key, self._tenant)
        try:
            return msgspec.json.decode(entry.value or b"", type=_Owned).tenant == self._tenant
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
