"""`Values`: small values stand in the journal, large ones in the object store, named by digest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from mesh.protocols.errors import JournalCorrupt, TooLarge, Transient
from mesh.protocols.job_events import Value
from mesh.protocols.ports import Clock, Objects, Store
from mesh.protocols.references import LIMIT, Reference
from mesh.protocols.subjects import Subjects

LARGEST = 32 * 1024 * 1024
"""An input or result above this many bytes is refused at once: hand over a reference to it instead."""


PATIENCE = 60.0
"""Seconds for which the object store is tried."""

T = TypeVar("T")


class Values:
    """The object store, opened at first need."""

    def __init__(self, store: Store, subjects: Subjects, clock: Clock) -> None:
        self._store = store
        self._clock = clock
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
        digest = await self.put(data, what)
        return Value(ref=Reference(digest=digest, size=len(data)))

    async def load(self, value: Value) -> msgspec.Raw:
        """The JSON bytes.

        Raises:
            JournalCorrupt: the object that the journal names is gone.
        """
        if value.ref is None:
            return value.inline
        try:
            return msgspec.Raw(await self.get(value.ref.digest))
        except KeyError:
            raise JournalCorrupt(
                f"the journal names object {value.ref.digest}, which is not in the object store"
            ) from None

    async def put(self, data: bytes, what: str = "object") -> str:
        """Keep bytes; gives their digest. Again: stored once.

        Raises:
            TooLarge: more than `LARGEST` bytes; nothing was sent.
        """
        if len(data) > LARGEST:
            raise TooLarge(
                f"the {what} has {len(data)} bytes, {LARGEST} are allowed: keep it elsewhere and hand over a reference",
                detail={"size": len(data), "limit": LARGEST},
            )
        return await self._patiently(lambda objects: objects.put(data))

    async def get(self, digest: str) -> bytes:
        """The bytes behind a digest.

        Raises:
            KeyError: there are none.
        """
        return await self._patiently(lambda objects: objects.get(digest))

    async def _patiently(self, work: Callable[[Objects], Awaitable[T]]) -> T:
        """Wait out a store that is away: a result that took minutes to make is not lost to a restart of the server."""
        give_up, pause = self._clock.monotonic() + PATIENCE, 0.05
        while True:
            try:
                return await work(await self.objects())
            except Transient:
                if self._clock.monotonic() >= give_up:
                    raise
            await self._clock.sleep(pause)
            pause = min(pause * 2, 2.0)
