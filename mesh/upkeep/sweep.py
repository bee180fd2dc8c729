"""`sweep_objects`: removes the objects that nothing names.

Named is what stands, as a digest, in any message of any stream of the mesh that is on disk (journals, ingress, inboxes, timers,
letters, events), in the state of agents or any other bucket on disk, in the index of an archive, or in an object that is named
itself. An object is put before whatever names it; so the list of objects is made first, what names them is read afterwards, and
one that was put less than `grace` ago stays whatever names it. Archives are read last: a job that leaves its journal meanwhile
is found here or there. Removing compares: an object that is put again meanwhile stays. What is left of puts that never ended
goes, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.values import Values
from mesh.protocols.errors import Conflict, Refused
from mesh.protocols.job_events import Archived
from mesh.protocols.ports import BucketSpec, Clock, KeyValue, Objects, Store, StoredObject
from mesh.protocols.subjects import Subjects
from mesh.transport.matching import matches
from mesh.upkeep.archive_folder import ArchiveFolder
from mesh.upkeep.naming import named_in
from mesh.upkeep.order import has_jobs, prefix

log = logging.getLogger("mesh.upkeep")


async def sweep_objects(
    store: Store, subjects: Subjects, clock: Clock, folder: ArchiveFolder, *, grace: float, dry: bool = False
) -> list[StoredObject]:
    """Remove what nothing names and was put more than `grace` seconds ago; gives what was removed, or with `dry` would be.
    Again: what has become nameless since.

    Raises:
        Refused: a tombstone names an archive that is not in `folder`: its objects would be lost. Nothing was removed.
    """
    objects = await Values(store, subjects, clock).objects()
    old = clock.now() - grace
    gone = await _nameless(store, subjects, objects, folder, old)
    if dry:
        return gone
    if left := await objects.tidy(old):
        log.info("removed what was left of %d puts that never ended", left)
    return await _remove(objects, gone)


async def _nameless(
    store: Store, subjects: Subjects, objects: Objects, folder: ArchiveFolder, before: float
) -> list[StoredObject]:
    """Those that were put before that time."""
    there = {each.digest: each for each in await objects.all()}
    old = {digest for digest, each in there.items() if each.time <= before}
    if not old:
        return []
    named = await named_by_streams(store, subjects)
    named |= await named_by_buckets(store, subjects)
    named |= await _named_by_archives(store, subjects, folder)
    named = await with_what_they_name(objects, named & set(there), there)
    return [each for digest, each in there.items() if digest in old and digest not in named]


async def _remove(objects: Objects, gone: list[StoredObject]) -> list[StoredObject]:
    removed = []
    for each in gone:
        try:
            await objects.delete(each)
        except Conflict:
            continue  # it was put again, so somebody is about to name it
        removed.append(each)
    return removed


async def _named_by_archives(store: Store, subjects: Subjects, folder: ArchiveFolder) -> set[str]:
    """An archive is there before the tombstones that name it: those are read first."""
    heads = await Journals(store, subjects).heads() if await has_jobs(store, subjects) else []
    indexes = folder.indexes() if folder.path.is_dir() else []
    archives = {each.archive for each in indexes}
    for head in heads:
        tomb = head.entry.events[-1]
        if isinstance(tomb, Archived) and tomb.archive not in archives:
            raise Refused(
                f"job {head.entry.job} is archived in {tomb.archive}, which is not in {folder.path}: "
                "say where the archives are (--folder); nothing was removed"
            )
    return {name for index in indexes for job in index.jobs for name in job.objects}


async def named_by_streams(store: Store, subjects: Subjects, *, but: Collection[str] = ()) -> set[str]:
    """The digests in every message of every stream on disk, except on subjects that match one of `but`. One subject at a time:
    a stream may be larger than memory."""
    found: set[str] = set()
    for stream in await store.streams(prefix(subjects)):
        if stream.storage != "file":
            continue
        for subject in await store.counts(stream.name, ">"):
            if not any(matches(pattern, subject) for pattern in but):
                for each in await store.read(stream.name, subject):
                    found |= named_in(each.data)
    return found


def _nobodys(spec: BucketSpec, entry: KeyValue) -> bool:
    return False


async def named_by_buckets(
    store: Store, subjects: Subjects, *, but: Callable[[BucketSpec, KeyValue], bool] = _nobodys
) -> set[str]:
    """The digests in every value of every bucket on disk, those left out of which `but` says so."""
    return {
        name
        for spec in await store.buckets(prefix(subjects))
        for entry in await (await store.bucket(spec)).all()
        if not but(spec, entry)
        for name in named_in(entry.value or b"")
    }


async def with_what_they_name(objects: Objects, named: set[str], there: Collection[str]) -> set[str]:
    """Those, and what stands in them, and what stands in that."""
    found, fresh = set(named), set(named)
    while fresh:
        inner: set[str] = set()
        for digest in fresh:
            try:
                inner |= named_in(await objects.get(digest))
            except KeyError:
                continue  # damaged or gone: it names nothing
        fresh = (inner & set(there)) - found
        found |= fresh
    return found
