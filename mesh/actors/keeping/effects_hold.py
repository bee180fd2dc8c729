"""`Hold`: the lease on one effect while its target is called. It is renewed as long as the call takes, and ends with it."""

from __future__ import annotations

import asyncio
from types import TracebackType

import msgspec

from mesh.actors.keeping.effects_record import EffectRecord
from mesh.actors.keeping.state_shelf import Found, Shelf
from mesh.protocols.errors import Conflict, MeshError

RENEWALS = 3
"""Signs of life in one lease."""


class Hold:
    """Taken by having written a record that says *begun*, over the one `before`. `found` is that record as it stands,
    `horizon` in seconds."""

    def __init__(
        self, shelf: Shelf, at: str, record: EffectRecord, before: EffectRecord | None, found: Found, horizon: int
    ) -> None:
        self.record = record
        self._before = before
        self._shelf = shelf
        self._at = at
        self._found = found
        self._every = record.lease / RENEWALS
        self._horizon = horizon
        self._timer: asyncio.TimerHandle | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def settle(self, record: EffectRecord) -> EffectRecord:
        """Write down how it ended; gives what stands there: another's outcome where it was there first.

        We know what happened: a record that says less is written over, whoever wrote it.
        """
        await self._let_go()
        while True:
            try:
                await self._shelf.put(self._at, encoded(record), over=self._found, ttl=self._horizon)
            except Conflict:
                self._found = await self._shelf.get(self._at)
                there = read(self._found)
                if there is not None and there.stage == "done":
                    return there
            else:
                return record

    async def give_back(self) -> None:
        """The target was certainly not called: as it was before, or as if it had never been asked for."""
        await self._let_go()
        while True:
            try:
                if self._before is None:
                    await self._shelf.delete(self._at, over=self._found)
                else:
                    before = msgspec.structs.replace(self._before, stage="open")
                    await self._shelf.put(self._at, encoded(before), over=self._found, ttl=self._horizon)
                return
            except Conflict:
                if not await self._still_ours():
                    return  # somebody else has it now

    async def __aenter__(self) -> Hold:
        self._again()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._let_go()

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every, self._due)

    def _due(self) -> None:
        self._renewing = asyncio.get_running_loop().create_task(self._renew(), name=f"effect {self.record.key}")

    async def _renew(self) -> None:
        """A sign of life; where the lease is somebody else's by now, there is nothing more to renew."""
        record = msgspec.structs.replace(self.record, beat=self.record.beat + 1)
        try:
            await self._shelf.put(self._at, encoded(record), over=self._found, ttl=self._horizon)
            self._found = await self._shelf.get(self._at)
        except Conflict:
            try:
                if not await self._still_ours():
                    return
            except MeshError:
                pass
        except MeshError:
            pass  # the server is away: others cannot see that we are silent, either
        self.record = record
        self._again()

    async def _still_ours(self) -> bool:
        """Whether what stands there instead is a sign of life of our own, of which we did not hear that it was stored."""
        found = await self._shelf.get(self._at)
        there, mine = read(found), self.record
        if there is None or there.stage != "begun":
            return False
        if (there.by, there.incarnation, there.calls) != (mine.by, mine.incarnation, mine.calls):
            return False
        self._found = found
        return True

    async def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)


def read(found: Found) -> EffectRecord | None:
    """The record in what was found."""
    return None if found.value is None else _records.decode(found.value)


def encoded(record: EffectRecord) -> msgspec.Raw:
    """The record as it is stored."""
    return msgspec.Raw(msgspec.json.encode(record))


_records = msgspec.json.Decoder(EffectRecord)
