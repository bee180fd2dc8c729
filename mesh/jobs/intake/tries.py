"""`Tries`: how often a message of the ingress was taken by a process that was not heard of again. A store that is away makes a
message come again, too, and as often as it takes: that is not the message's fault, and must not count against it.

So it is written down who takes it, and a try counts once that process is gone. One that is still there came back from it, also
where the store did not let it say so.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from mesh.jobs.owning.seat import Incumbent, Seat
from mesh.protocols.errors import Conflict
from mesh.protocols.ports import Bucket, BucketSpec, KeyValue

NOBODY = Incumbent("", "")
KEPT = 7 * 24 * 3600
"""Seconds after the last try; who was lost over a message that was then accounted for by others does not take it out of here."""


class Try(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The value of a key: so many were lost over the message, and who has taken it since."""

    lost: int = 0
    process: str = ""
    incarnation: str = ""


class Before(NamedTuple):
    """What was known of a message before it was taken: how many were lost over it, and who else is there that may have it in
    hand."""

    lost: int = 0
    holder: Incumbent = NOBODY


class Tries:
    """Kept in a file bucket under the message's sequence, for messages that have come several times."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._me = Incumbent(seat.process, seat.incarnation)
        self._spec = BucketSpec(
            name=seat.subjects.bucket("tries"), storage="file", description="messages that may kill"
        )

    async def begin(self, sequence: int) -> Before:
        """It is about to be taken by this process.

        Raises:
            Conflict: somebody else takes it at this moment. Transient: the store is out of reach.
        """
        bucket = await self._bucket()
        return await self._begin(bucket, sequence, *await self._before(bucket, sequence))

    async def begin_alone(self, sequence: int) -> Before:
        """As `begin`, but only where nobody else who is there may have it in hand: else `Conflict`."""
        bucket = await self._bucket()
        before, revision = await self._before(bucket, sequence)
        if before.holder != NOBODY:
            raise Conflict(f"{before.holder.process} may have message {sequence} in hand")
        return await self._begin(bucket, sequence, before, revision)

    async def came_back(self, sequence: int, before: Before) -> None:
        """This process is still there: its try does not count."""
        if before == Before():
            await self.over(sequence)
        else:
            await (await self._bucket()).put(str(sequence), _written(before.lost, before.holder), ttl=KEPT)

    async def over(self, sequence: int) -> None:
        """It is accounted for."""
        await (await self._bucket()).delete(str(sequence))

    async def _before(self, bucket: Bucket, sequence: int) -> tuple[Before, int]:
        found = await bucket.get(str(sequence))
        revision = found.revision if found is not None and found.value is not None else 0
        return await self._weighed(_read(found)), revision

    async def _begin(self, bucket: Bucket, sequence: int, before: Before, revision: int) -> Before:
        await bucket.put(str(sequence), _written(before.lost, self._me), ttl=KEPT, revision=revision)
        return before

    async def _weighed(self, last: Try) -> Before:
        holder = Incumbent(last.process, last.incarnation)
        if holder in (NOBODY, self._me):
            return Before(last.lost)
        if await self._seat.gone((holder,)):
            return Before(last.lost + 1)
        return Before(last.lost, holder)

    async def _bucket(self) -> Bucket:
        return await self._seat.store.bucket(self._spec)


def _read(found: KeyValue | None) -> Try:
    """An earlier release wrote the number alone."""
    if found is None or found.value is None:
        return Try()
    known = msgspec.json.decode(found.value, type=Try | int)
    return Try(lost=known) if isinstance(known, int) else known


def _written(lost: int, holder: Incumbent) -> bytes:
    return msgspec.json.encode(Try(lost=lost, process=holder.process, incarnation=holder.incarnation))
