"""`Tries`: how often a message of the ingress was taken by a process that was not heard of again. A store that is away makes a
message come again, too, and as often as it takes: that is not the message's fault, and must not count against it.
"""

from __future__ import annotations

from contextlib import suppress

from mesh.protocols.errors import Conflict, Transient
from mesh.protocols.ports import Bucket, BucketSpec, Store
from mesh.protocols.subjects import Subjects


class Tries:
    """Kept in a file bucket under the message's sequence, for messages that have come several times."""

    def __init__(self, store: Store, subjects: Subjects) -> None:
        self._store = store
        self._spec = BucketSpec(name=subjects.bucket("tries"), storage="file", description="messages that may kill")

    async def begin(self, sequence: int) -> int:
        """It is about to be taken: how many took it and never came back, before this one.

        Raises:
            Conflict: somebody else takes it at this moment. Transient: the store is out of reach; what may be stored of this try
                all the same is taken back, if it can be.
        """
        bucket = await self._bucket()
        known = await bucket.get(str(sequence))
        lost = int(known.value) if known is not None and known.value is not None else 0
        revision = known.revision if known is not None and known.value is not None else 0
        try:
            await bucket.put(str(sequence), str(lost + 1).encode(), revision=revision)
        except Conflict:
            raise
        except Transient:
            with suppress(Transient):
                await self.came_back(sequence, lost)
            raise
        return lost

    async def came_back(self, sequence: int, lost: int) -> None:
        """Whoever took it is still there: that try does not count."""
        await (await self._bucket()).put(str(sequence), str(lost).encode())

    async def over(self, sequence: int) -> None:
        """It is accounted for."""
        await (await self._bucket()).delete(str(sequence))

    async def _bucket(self) -> Bucket:
        return await self._store.bucket(self._spec)
