"""`Payloads`: moves large payloads out of messages into the object store, and back (`protocols/references.py`)."""

from __future__ import annotations

import msgspec

from mesh.protocols.envelope import NULL, Envelope
from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import Objects, Store
from mesh.protocols.references import Reference

STORE = "objects"
"""The object store that references name."""


class Payloads:
    """The object store, opened at first need."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._objects: Objects | None = None

    async def objects(self) -> Objects:
        """The store itself, for what handlers keep and fetch."""
        if self._objects is None:
            self._objects = await self._store.objects(self._name)
        return self._objects

    async def by_reference(self, envelope: Envelope) -> Envelope:
        """The same message, its payload stored and named. Again: the same object, stored once."""
        data = bytes(envelope.payload)
        digest = await (await self.objects()).put(data)
        return msgspec.structs.replace(envelope, payload=NULL, ref=Reference(digest=digest, size=len(data)))

    async def whole(self, envelope: Envelope) -> Envelope:
        """The same message with its payload in it.

        Raises:
            Unavailable: the object is not there (any more); `detail` has it as `gone`.
        """
        if envelope.ref is None:
            return envelope
        try:
            data = await (await self.objects()).get(envelope.ref.digest)
        except KeyError:
            digest = envelope.ref.digest
            raise Unavailable(f"the payload {digest} is not in the object store", detail={"gone": digest}) from None
        return msgspec.structs.replace(envelope, payload=msgspec.Raw(data), ref=None)
