"""What one process has to say of itself in the registry bucket: its records, kept true to what they should be.

Callers change what should be there; `write` brings the bucket to it. What could not be written stays due, and is written
by presence as soon as the store is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial

import msgspec

from mesh.protocols.errors import Conflict
from mesh.protocols.ports import Bucket, KeyValue, Store
from mesh.protocols.subjects import Subjects
from mesh.registry.buckets import open_records
from mesh.registry.records import Instance, Schema
from mesh.registry.schemas import Schemas

AT_ONCE = 128
"""How many writes are in flight together."""

OnStored = Callable[[Instance, int], None]


class Publication:
    """The records and schemas of one start of a process, its `incarnation`, which stands in each of its records. `stored` is
    told of each record, and its revision, once it is in the bucket."""

    def __init__(
        self,
        store: Store,
        subjects: Subjects,
        incarnation: str = "",
        stored: OnStored = lambda record, revision: None,
    ) -> None:
        self._store = store
        self._stored = stored
        self._subjects = subjects
        self._incarnation = incarnation.encode()
        self._schemas = Schemas(store, subjects)
        self._bucket: Bucket | None = None
        self._wanted: dict[str, Instance] = {}
        self._declared: dict[str, Schema] = {}
        self._revisions: dict[str, int] = {}
        self._due: set[str] = set()
        self._told: dict[str, int] = {}
        self._untold: dict[str, int] = {}
        """By key: the last revision of ours that a watch told; that of what was written and not told of yet, the oldest first."""
        self._doubted: dict[str, int] = {}
        """What was not told of at the last `recheck`."""
        self._schemas_due: set[str] = set()
        self._writing = asyncio.Lock()

    @property
    def due(self) -> bool:
        """Whether the bucket is not yet as it should be."""
        return bool(self._due or self._schemas_due)

    def set(self, record: Instance, schemas: Iterable[Schema] = ()) -> None:
        """The record should be there, as it is here."""
        key = record.key
        self._wanted[key] = record
        self._due.add(key)
        for each in schemas:
            if self._declared.setdefault(each.digest, each) is each:
                self._schemas_due.add(each.digest)

    def remove(self, key: str) -> None:
        """The record should not be there."""
        if self._wanted.pop(key, None) is not None:
            self._due.add(key)
            self._untold.pop(key, None)
            self._told.pop(key, None)

    def again(self) -> None:
        """The buckets may have been lost: everything is due."""
        self._bucket = None
        self._schemas.forget_bucket()
        self._told.clear()
        self._untold.clear()
        self._due.update(self._wanted)
        self._schemas_due.update(self._declared)

    def written(self, change: KeyValue) -> Instance | None:
        """The record that we hold, if the change is that it was written as it is."""
        record = self._wanted.get(change.key)
        return record if record is not None and msgspec.json.encode(record) == change.value else None

    def heard(self, change: KeyValue) -> bool:
        """A record of ours changed in the bucket. True if it is gone, or is another start's, and should not be: it is due again.

        Whatever its revision: of a key that a watch finds missing it tells the one it knew, so that what was removed since our
        last write, before the watch had told of that, is like news from before it. A write too many harms nobody.
        """
        if change.key not in self._wanted:
            return False
        if self._is_ours(change):
            self._told[change.key] = change.revision
            if self._untold.get(change.key, 0) <= change.revision:
                self._untold.pop(change.key, None)
            return False
        self._due.add(change.key)
        return True

    def passed(self, revision: int) -> bool:
        """A watch has told of some record at this revision. True if it has passed over one of ours that was written before: it has
        missed that, and whatever became of it, such as a removal; so it is due again."""
        missed = False
        while self._untold and (oldest := next(iter(self._untold.items())))[1] < revision:
            del self._untold[oldest[0]]
            self._due.add(oldest[0])
            missed = True
        return missed

    async def recheck(self) -> None:
        """Look up what was written and no watch has told of since the last time. It may have been removed while the watch was deaf:
        of a key that a watch never told it does not tell the end either. What is gone is due again.

        Raises:
            MeshError: the store is out of reach.
        """
        doubtful = [key for key, revision in self._untold.items() if self._doubted.get(key) == revision]
        self._doubted = dict(self._untold)
        if doubtful:
            await _all(doubtful, partial(self._look_up, await self._open()))

    async def _look_up(self, bucket: Bucket, key: str) -> None:
        found = await bucket.get(key)
        if key in self._wanted and (found is None or not self._is_ours(found)):
            self._due.add(key)

    async def write(self) -> None:
        """Bring the bucket to what should be there. Again: nothing happens.

        Raises:
            MeshError: the store is out of reach; what is missing stays due.
        """
        async with self._writing:
            while self.due:
                await self._write_schemas()
                await _all(sorted(self._due), partial(self._write_one, await self._open()))

    async def withdraw(self) -> None:
        """Remove every record from the bucket."""
        for key in list(self._wanted):
            self.remove(key)
        self._schemas_due.clear()
        await self.write()

    async def _write_schemas(self) -> None:
        if self._schemas_due:
            digests = set(self._schemas_due)
            await self._schemas.publish(self._declared[each] for each in digests)
            self._schemas_due -= digests

    async def _write_one(self, bucket: Bucket, key: str) -> None:
        """What is heard or wanted of the key while this write is on its way makes it due again."""
        self._due.discard(key)
        try:
            record = self._wanted.get(key)
            if record is None:
                await self._erase(bucket, key)
            else:
                revision = self._revisions[key] = await bucket.put(key, msgspec.json.encode(record))
                self._untold.pop(key, None)
                if self._told.get(key, 0) < revision:
                    self._untold[key] = revision
                self._stored(record, revision)
        except BaseException:
            self._bucket = None
            self._due.add(key)
            raise

    async def _erase(self, bucket: Bucket, key: str) -> None:
        """What a later start of the process has written under the key stays: it may have our name already."""
        revision = self._revisions.pop(key, None)
        if revision is not None:
            with suppress(Conflict):  # it is not as we wrote it last
                await bucket.delete(key, revision=revision)
                return
        found = await bucket.get(key)
        if found is None or self._is_ours(found):
            await bucket.delete(key, revision=None if found is None else found.revision)

    def _is_ours(self, found: KeyValue) -> bool:
        return found.value is not None and self._incarnation in found.value

    async def _open(self) -> Bucket:
        if self._bucket is None:
            self._bucket = await open_records(self._store, self._subjects)
        return self._bucket


async def _all(keys: list[str], work: Callable[[str], Awaitable[None]]) -> None:
    """The work for every key, `AT_ONCE` at a time. The first error is raised when those on their way have ended."""
    waiting = iter(keys)

    async def some() -> None:
        for key in waiting:
            await work(key)

    if len(keys) == 1:
        await some()
        return
    results = await asyncio.gather(*(some() for _ in range(min(AT_ONCE, len(keys)))), return_exceptions=True)
    for each in results:
        if isinstance(each, BaseException):
            raise each
