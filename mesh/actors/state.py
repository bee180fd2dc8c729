"""`State`: an agent's typed, durable value under a key. Shared by its instances; changed by compare-and-set."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Generic, TypeVar

from mesh.actors.contract import Contract
from mesh.protocols.errors import BadPayload, Conflict, JournalCorrupt
from mesh.protocols.ports import Bucket, BucketSpec, Store
from mesh.protocols.subjects import Subjects

T = TypeVar("T")
ATTEMPTS = 10


class States:
    """The bucket that all states are in, opened at first need."""

    def __init__(self, store: Store, subjects: Subjects) -> None:
        self._store = store
        self._spec = BucketSpec(name=subjects.bucket("state"), storage="file", description="durable state of agents")
        self._bucket: Bucket | None = None

    async def bucket(self) -> Bucket:
        """The bucket itself."""
        if self._bucket is None:
            self._bucket = await self._store.bucket(self._spec)
        return self._bucket


class State(Generic[T]):
    """One value of one agent. `key` may be any text."""

    def __init__(self, states: States, agent: str, key: str, kind: type[T]) -> None:
        self._states = states
        self._contract = Contract.of(kind)
        self._key = f"{agent}.{base64.urlsafe_b64encode(key.encode()).decode()}"

    async def get(self) -> T | None:
        """The value, or None where there is none.

        Raises:
            JournalCorrupt: what is stored is not of this type.
        """
        return (await self._read())[0]

    async def put(self, value: T) -> None:
        """Store the value over whatever is there."""
        await (await self._states.bucket()).put(self._key, bytes(self._contract.encode(value)))

    async def update(self, change: Callable[[T | None], T]) -> T:
        """Store what `change` makes of the present value; it may be called several times, and must only compute.

        Raises:
            Conflict: others changed it every time.
        """
        bucket = await self._states.bucket()
        for _ in range(ATTEMPTS):
            value, revision = await self._read()
            changed = change(value)
            try:
                await bucket.put(self._key, bytes(self._contract.encode(changed)), revision=revision)
            except Conflict:
                continue
            return changed
        raise Conflict(f"the state {self._key} was changed by others {ATTEMPTS} times")

    async def delete(self) -> None:
        """Forget the value. Again: nothing happens."""
        await (await self._states.bucket()).delete(self._key)

    async def _read(self) -> tuple[T | None, int]:
        found = await (await self._states.bucket()).get(self._key)
        if found is None or found.value is None:
            return None, 0
        try:
            return self._contract.decode(found.value), found.revision
        except BadPayload as error:
            raise JournalCorrupt(f"the state {self._key} {error.message}") from None
