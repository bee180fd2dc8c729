"""`back_up`: everything of a mesh that is on disk, into a folder, while the mesh goes on. `order.py` says why that is sound."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from mesh.protocols.envelope import VERSION
from mesh.protocols.errors import Semantic, Unavailable
from mesh.protocols.ports import Clock, Store, Stored
from mesh.protocols.snapshots import Kept, Shape, Snapshots
from mesh.protocols.subjects import Subjects
from mesh.upkeep.backup_folder import FORMAT, BackupFolder, Saved, Summary
from mesh.upkeep.order import MARKER, in_order, is_feed, prefix
from mesh.upkeep.rewritten import is_whole, replaceable, rewritten

PAUSES = (1.0, 5.0, 15.0, 0.0)
"""Seconds after which a stream is copied again from which something was removed while it was copied; as often as that."""
LOOKS, LOOK = 20, 0.1
"""How often, and after how many seconds, it is looked again for what came after a copy: who tells of it may lag behind."""


class NothingThere(Semantic):
    """There is nothing to save."""

    code = "nothing-there"
    blame = "caller"


async def back_up(
    store: Store,
    subjects: Subjects,
    clock: Clock,
    path: Path,
    *,
    told: Callable[[Saved], None] = lambda saved: None,
) -> Summary:
    """Save the namespace into the new folder `path`. Everything that was acknowledged before is in it. `told` hears of each
    stream once it is written.

    Raises:
        Refused: the mesh is in memory. NothingThere: nothing of this namespace is on disk.
        BadBackup: the folder cannot be used. Unavailable · TimedOut: the server was lost, or somebody went on removing what
            was copied; what is in the folder is no backup.
    """
    snapshots, began = store.snapshots(), clock.now()
    kept = in_order(subjects, await _whole(snapshots, subjects))
    if not kept:
        raise NothingThere(f"nothing of namespace {subjects.namespace} is on disk on this server: nothing to save")
    folder = BackupFolder.create(path)
    copying, saved = _Copying(store, subjects, clock, folder), list[Saved]()
    for each in kept:
        saved.append(await copying.save(each))
        told(saved[-1])
    now = {each.state.name: each.state.last for each in await snapshots.kept(prefix(subjects))}
    reached = [msgspec.structs.replace(each, reached=max(each.last, now.get(each.name, 0))) for each in saved]
    summary = Summary(
        format=FORMAT,
        namespace=subjects.namespace,
        server_version=await snapshots.version(),
        protocol=VERSION,
        began=began,
        ended=clock.now(),
        streams=tuple(reached),
    )
    folder.conclude(summary)
    return summary


async def _whole(snapshots: Snapshots, subjects: Subjects) -> list[Kept]:
    kept = await snapshots.kept(prefix(subjects))
    if any(each.state.name == subjects.stream(MARKER) for each in kept):
        raise Unavailable(
            f"a restore of namespace {subjects.namespace} was interrupted: run `mesh restore --replace` again first"
        )
    return kept


class _Copying:
    """The copies of one backup."""

    def __init__(self, store: Store, subjects: Subjects, clock: Clock, folder: BackupFolder) -> None:
        self._store = store
        self._snapshots = store.snapshots()
        self._subjects = subjects
        self._clock = clock
        self._folder = folder

    async def save(self, kept: Kept) -> Saved:
        """One stream, copied again where something was removed from it meanwhile."""
        for pause in PAUSES:
            saved = await self._copy(kept)
            if saved is not None:
                return saved
            await self._clock.sleep(pause)
        raise Unavailable(
            f"something was removed from {kept.state.name} each time that it was copied: let `mesh archive run`, `mesh archive "
            "sweep` or `mesh tenant erase` come to its end, and save into another folder: what is in this one is no backup"
        )

    async def _copy(self, kept: Kept) -> Saved | None:
        """None where the copy may lack something."""
        name, objects = kept.state.name, kept.kind == "objects"
        before = set(await self._store.counts(name, replaceable(kept))) if objects else None
        writer = self._folder.writer(name)
        consumers = is_feed(self._subjects, kept)
        shape = await self._snapshots.take(name, writer.write, consumers=consumers)
        digest = writer.close()
        later = await self._later(kept, shape, before)
        if later is None:
            writer.discard()
            return None
        return Saved(
            kind=kept.kind,
            file=writer.path.name,
            sha256=digest,
            size=writer.size,
            messages=int(shape.state.get("messages", 0)),
            reached=int(shape.state.get("last_seq", 0)),
            consumers=consumers,
            shape=shape,
            later=self._folder.keep(name, [rewritten(each) for each in later]),
        )

    async def _later(self, kept: Kept, shape: Shape, before: Collection[str] | None) -> list[Stored] | None:
        """What came after the copy in place of something in it; None where something is missing that it does not have. Of
        objects those that were there `before`: nothing that is in the backup names another one."""
        name, wanted, last = kept.state.name, replaceable(kept), int(shape.state.get("last_seq", 0))
        now = next(each.state for each in await _whole(self._snapshots, self._subjects) if each.state.name == name)
        for _ in range(LOOKS if wanted else 1):
            found = await self._store.last_each(name, wanted, after=last) if wanted else []
            later = [each for each in found if before is None or each.subject in before]
            if is_whole(kept.kind, shape, now, later):
                return later
            await self._clock.sleep(LOOK)
        return None
