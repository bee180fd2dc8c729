"""`KnownWorkflows`: every workflow that was ever hosted anywhere in the mesh, kept in a file bucket.

This is what tells an *unknown* workflow (nobody ever hosted it: a dead letter) from one whose hosts are merely down (its
jobs wait). While the bucket has not been read, nothing is unknown.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from mesh.jobs.journals.streams import workflows_bucket
from mesh.protocols.errors import Conflict
from mesh.protocols.ports import Bucket, KeyValue, Store, Watch
from mesh.protocols.subjects import Subjects


class KnownWorkflow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One version of a workflow, under `<name>.<version>`. `input` and `output` are schema digests."""

    name: str
    version: int
    input: str = ""
    output: str = ""
    description: str = ""


class KnownWorkflows:
    """The bucket, watched by hosts and read by clients."""

    def __init__(self, store: Store, subjects: Subjects) -> None:
        self._store = store
        self._spec = workflows_bucket(subjects)
        self._bucket: Bucket | None = None
        self._names: set[str] = set()
        self._watch: Watch | None = None

    async def start(self) -> None:
        """Watch; what is there is known when this returns. Again: nothing happens."""
        if self._watch is None:
            self._watch = await (await self._open()).watch(self._heard)
        await self._watch.current

    async def stop(self) -> None:
        """Watch no more. Again: nothing happens."""
        watch, self._watch = self._watch, None
        if watch is not None:
            await watch.close()

    async def register(self, workflow: KnownWorkflow) -> None:
        """Make it known, for good. Again: nothing happens."""
        bucket, key = await self._open(), f"{workflow.name}.{workflow.version}"
        if await bucket.get(key) is None:
            with suppress(Conflict):
                await bucket.put(key, msgspec.json.encode(workflow), revision=0)
        self._names.add(workflow.name)

    def knows(self, name: str) -> bool:
        """Whether it was ever hosted, as far as has been heard here; `confirm` before you say no to somebody."""
        return name in self._names

    async def confirm(self, name: str) -> bool:
        """Whether it was ever hosted, asked of the bucket itself."""
        return self.knows(name) or name in {each.name for each in await self.all()}

    async def all(self) -> list[KnownWorkflow]:
        """Every version of every workflow."""
        live = await (await self._open()).all()
        return [msgspec.json.decode(each.value, type=KnownWorkflow) for each in live if each.value is not None]

    async def _open(self) -> Bucket:
        if self._bucket is None:
            self._bucket = await self._store.bucket(self._spec)
        return self._bucket

    def _heard(self, change: KeyValue) -> None:
        if change.value is not None:
            self._names.add(change.key.rpartition(".")[0])
