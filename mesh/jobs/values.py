"""`Values`: small values stand in the journal, large ones in the object store, named by digest."""

from __future__ import annotations

import hashlib

import msgspec

from mesh.protocols.errors import JournalCorrupt, TooLarge
from mesh.protocols.job_events import Value
from mesh.protocols.ports import Objects, Store
from mesh.protocols.references import LIMIT, Reference
from mesh.protocols.subjects import Subjects

LARGEST = 32 * 1024 * 1024
"""An input or result above this many bytes is refused at once: hand over a reference to it instead."""


class Values:
    """The object store, opened at first need."""

    def __init__(self, store: Store, subjects: Subjects) -> None:
        self._store = store
        self._name = subjects.bucket("objects")
        self._objects: Objects | None = None

    async def objects(self) -> Objects:
        """The store itself, for what workflows keep and fetch."""
        if self._objects is None:
            self._objects = await self._store.objects(self._name)
        return self._objects

    async def keep(self, raw: msgspec.Raw, what: str = "value") -> Value:
        """The value as a journal carries it. Again: the same object, stored once.

        Raises:
            TooLarge: more than `LARGEST` bytes.
        """
        data = bytes(raw)
        if len(data) <= LIMIT:
            return Value(inline=raw)
        if len(data) > LARGEST:
            raise TooLarge(
                f"the {what} has {len(data)} bytes, {LARGEST} are allowed: keep it elsewhere and hand over a reference",
                detail={"size": len(data), "limit": LARGEST},
            )
        digest = await (await self.objects()).put(data)
        return Value(ref=Reference(digest=digest, size=len(data)))

    async def load(self, value: Value) -> msgspec.Raw:
        """The JSON bytes.

        Raises:
            JournalCorrupt: the object that the journal names is gone.
        """
        if value.ref is None:
            return value.inline
        try:
            return msgspec.Raw(await (await self.objects()).get(value.ref.digest))
        except KeyError:
            raise JournalCorrupt(
                f"the journal names object {value.ref.digest}, which is not in the object store"
            ) from None


def digest_of_bytes(data: bytes) -> str:
    """`sha256:<hex>`, as the object store names objects."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
