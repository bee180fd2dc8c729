"""`put_back`: a mesh again as a backup has it. Sequences, timestamps and timers are as they were.

Nothing may run meanwhile, and nothing can start: until the last stream is there, `RESTORING` holds the subjects of one that
every host needs, so that a host which starts on half a mesh fails instead of making the other half anew, empty. What an
interrupted restore leaves is removed by the next one.

What was done after the backup is done again: its steps run again, the effects of those that are not idempotent happen again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from mesh.protocols.errors import Refused, Unavailable
from mesh.protocols.ports import Ids, Store, StreamState
from mesh.protocols.snapshots import Shape, Snapshots
from mesh.protocols.subjects import Subjects
from mesh.upkeep.backup_folder import BackupFolder, BadBackup, Saved, Summary
from mesh.upkeep.missed_timers import wake_the_late
from mesh.upkeep.order import MARKER, prefix
from mesh.upkeep.rewritten import varies

AT_ONCE = 200
STREAMS_AT_ONCE = 8
ONCE_MORE = 5
"""How often a bucket that somebody made anew is removed again before it is given up."""
LAST = "DLQ"
"""The stream that is given its subjects last: every host needs it, and no consumer is on it."""


async def put_back(
    store: Store,
    subjects: Subjects,
    ids: Ids,
    folder: BackupFolder,
    *,
    replace: bool = False,
    replicas: int | None = None,
    running: Sequence[str] = (),
    told: Callable[[Saved], None] = lambda saved: None,
) -> Summary:
    """Restore a namespace; everything is verified first. `replace`: remove what is there. `replicas`: other than in the
    backup. `running` are the processes that host something of this namespace now. Again: with `replace`, the same.

    Raises:
        Refused: hosts are alive, or something is there; nothing was changed. BadBackup: it is damaged, or another
            namespace's; nothing was changed. Unavailable · TimedOut: the server was lost in the middle: do it again.
    """
    summary = folder.summary()
    if summary.namespace != subjects.namespace:
        raise BadBackup(
            f"{folder.path} is a backup of namespace {summary.namespace!r}, and its subjects say so: it cannot be put back as "
            f"{subjects.namespace!r}"
        )
    folder.verify(summary)
    if running:
        raise Refused(
            f"{len(running)} processes host agents or workflows of namespace {subjects.namespace} "
            f"({', '.join(sorted(running)[:5])}): stop them first (`mesh down`); nothing was changed"
        )
    snapshots = store.snapshots()
    there = await _in_the_way(snapshots, subjects, replace=replace)
    restore = _Restore(store, snapshots, subjects, ids, folder, replicas, told)
    return await restore.run(summary, there)


async def _in_the_way(snapshots: Snapshots, subjects: Subjects, *, replace: bool) -> list[str]:
    """The streams that are to be removed first.

    Raises:
        Refused: there are messages in them, and nobody said `replace`.
    """
    there = [each.state for each in await snapshots.kept(prefix(subjects)) if each.state.storage == "file"]
    full = [each for each in there if each.messages or each.name == subjects.stream(MARKER)]
    if full and not replace:
        found = ", ".join(f"{each.name} ({each.messages})" for each in full[:5])
        raise Refused(
            f"namespace {subjects.namespace} is not empty on this server: {found}; nothing was changed. "
            "`--replace` removes what is there first"
        )
    return [each.name for each in there if each.name != subjects.stream(MARKER)]


class _Restore:
    """One restore into an empty namespace."""

    def __init__(
        self,
        store: Store,
        snapshots: Snapshots,
        subjects: Subjects,
        ids: Ids,
        folder: BackupFolder,
        replicas: int | None,
        told: Callable[[Saved], None],
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._subjects = subjects
        self._ids = ids
        self._folder = folder
        self._replicas = replicas
        self._told = told
        self._broken_off = False

    async def run(self, summary: Summary, there: Sequence[str]) -> Summary:
        """Everything, several streams at once: the server stores each message by message, and waits for the disk each time."""
        last = next((each for each in summary.streams if each.name == self._subjects.stream(LAST)), None)
        await self._mark(summary)
        guarding = [name for name in there if last is not None and name == last.name]
        for name in guarding:
            await self._snapshots.remove(name)
        if (
            last is not None
        ):  # from here on nothing can start: a mesh of which half was removed would look like an empty one
            await self._snapshots.reshape(self._marker(summary, last.shape.subjects))
        for name in there:
            if name not in guarding:
                await self._snapshots.remove(name)
        some = asyncio.Semaphore(STREAMS_AT_ONCE)
        each_ended = await asyncio.gather(
            *(self._restore(each, some, hidden=each is last) for each in summary.streams), return_exceptions=True
        )
        for ended in each_ended:
            if ended is not None:
                raise ended
        await wake_the_late(self._store, self._subjects, self._ids)
        await self._snapshots.remove(self._subjects.stream(MARKER))
        if last is not None:
            await self._snapshots.reshape(self._shape(last).config)
        return summary

    async def _restore(self, saved: Saved, some: asyncio.Semaphore, *, hidden: bool) -> None:
        async with some:
            if self._broken_off:
                return
            try:
                await self._restore_now(saved, hidden=hidden)
                self._told(saved)
            except BaseException:
                self._broken_off = True  # what the server has begun with is awaited, nothing more is begun
                raise

    async def _restore_now(self, saved: Saved, *, hidden: bool) -> None:
        shape = self._shape(saved)
        if hidden:
            shape = msgspec.structs.replace(shape, config={**shape.config, "subjects": [self._hiding_place()]})
        state = await self._put_back(saved, shape)
        _check(saved, state)
        await self._catch_up(saved, shape, state.last)

    async def _put_back(self, saved: Saved, shape: Shape) -> StreamState:
        """A client or gateway that watches a bucket makes it anew, empty, once it hears that it was removed: what is in the way
        is removed again, and the copy put back before they hear of that."""
        for _ in range(ONCE_MORE):
            try:
                return await self._snapshots.put_back(shape, lambda: self._folder.pieces(saved))
            except Refused:
                if saved.kind != "bucket":
                    raise
                await self._snapshots.remove(saved.name)
        return await self._snapshots.put_back(shape, lambda: self._folder.pieces(saved))

    async def _catch_up(self, saved: Saved, shape: Shape, last: int) -> None:
        """What came after the copy, each with the sequence that it had; and use up those that the stream gave while the backup
        was made: no journal may ever name one of them twice."""
        if saved.later is None and saved.reached <= last:
            return
        skipped = shape.subjects[0].replace("*", "skipped").replace(">", "skipped")
        for each in self._folder.later(saved):
            await self._skip(skipped, each.sequence - 1 - last)
            last = (await self._store.append(each.subject, each.data, headers=each.headers)).sequence
        await self._skip(skipped, saved.reached - last)
        await self._store.purge(saved.name, skipped)

    async def _skip(self, subject: str, count: int) -> None:
        for start in range(0, count, AT_ONCE):
            await asyncio.gather(*(self._store.append(subject, b"") for _ in range(start, min(start + AT_ONCE, count))))

    def _shape(self, saved: Saved) -> Shape:
        if self._replicas is None:
            return saved.shape
        return msgspec.structs.replace(saved.shape, config={**saved.shape.config, "num_replicas": self._replicas})

    async def _mark(self, summary: Summary) -> None:
        """From now on it is under way. Before anything is removed: a server that cannot keep as many copies says so here."""
        try:
            await self._snapshots.reshape(self._marker(summary, (f"{prefix(self._subjects)}marked",)))
        except (Refused, Unavailable) as error:
            if "replicas" not in error.message:
                raise
            raise Refused(f"nothing was changed: {error}; `--replicas 1` keeps everything on one server") from error

    def _marker(self, summary: Summary, subjects: Sequence[str]) -> dict[str, object]:
        """A stream that takes nothing, on as many servers as the others."""
        return {
            "name": self._subjects.stream(MARKER),
            "subjects": list(subjects),
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "max_bytes": 1,
            "allow_direct": True,
            "num_replicas": max(
                (self._shape(each).config.get("num_replicas", 1) for each in summary.streams), default=1
            ),
            "description": "a restore is under way, or was interrupted: `mesh restore --replace` does it again",
        }

    def _hiding_place(self) -> str:
        return f"{prefix(self._subjects)}restoring"


def _check(saved: Saved, state: StreamState) -> None:
    """What came back is what was taken. A stream that messages leave by themselves may have dropped some by now; what was
    replaced while it was copied may be missing, until `_catch_up`."""
    missing, replaced = saved.messages - state.messages, saved.later.messages if saved.later else 0
    changes = varies(saved.kind, saved.shape.config)
    if state.last < saved.last or (not changes and not 0 <= missing <= replaced):
        raise Unavailable(
            f"{saved.name} came back with {state.messages} messages up to {state.last}, {saved.messages} up to {saved.last} "
            "were saved: run `mesh restore --replace` again; if it says the same, use another backup"
        )
