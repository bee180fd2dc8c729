"""`back_up`: everything of a mesh that is on disk, into a folder, while the mesh goes on. `order.py` says why that is sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from mesh.protocols.envelope import VERSION
from mesh.protocols.errors import Semantic, Unavailable
from mesh.protocols.ports import Clock, Store
from mesh.protocols.snapshots import Kept, Snapshots
from mesh.protocols.subjects import Subjects
from mesh.upkeep.backup_folder import FORMAT, BackupFolder, Saved, Summary
from mesh.upkeep.order import MARKER, in_order, is_feed, prefix


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
        BadBackup: the folder cannot be used. Unavailable · TimedOut: the server was lost; what is in the folder is no backup.
    """
    snapshots, began = store.snapshots(), clock.now()
    kept = in_order(subjects, await _whole(snapshots, subjects))
    if not kept:
        raise NothingThere(f"nothing of namespace {subjects.namespace} is on disk on this server: nothing to save")
    folder = BackupFolder.create(path)
    saved: list[Saved] = []
    for each in kept:
        saved.append(await _save(folder, snapshots, each, consumers=is_feed(subjects, each)))
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


async def _save(folder: BackupFolder, snapshots: Snapshots, kept: Kept, *, consumers: bool) -> Saved:
    writer = folder.writer(kept.state.name)
    shape = await snapshots.take(kept.state.name, writer.write, consumers=consumers)
    digest = writer.close()
    return Saved(
        kind=kept.kind,
        file=writer.path.name,
        sha256=digest,
        size=writer.size,
        messages=int(shape.state.get("messages", 0)),
        reached=int(shape.state.get("last_seq", 0)),
        consumers=consumers,
        shape=shape,
    )
