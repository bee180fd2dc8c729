"""`Heads`: the last entries of the jobs that somebody may have to take up, kept from one look to the next.

Most journals belong to jobs that are over. To read the heads of all of them whenever somebody has died would take the longer the
older a mesh is; so only what was stored since the last look is asked for, and only what may matter is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.jobs.journals.journals import Journals
from mesh.protocols.job_events import JobHead
from mesh.protocols.job_state import Recorded
from mesh.protocols.naming.jobs import SHARDS
from mesh.protocols.ports import Clock

AFRESH_EVERY = 300.0
"""Seconds after which everything is read again: a journal that was removed tells nobody."""


class Heads:
    """Those that are `wanted`, by shard."""

    def __init__(self, journals: Journals, clock: Clock, wanted: Callable[[JobHead], bool]) -> None:
        self._journals = journals
        self._clock = clock
        self._wanted = wanted
        self._kept: dict[str, Recorded] = {}
        self._seen: dict[str, int] = {}
        self._afresh_at = 0.0

    async def current(self) -> list[Recorded]:
        """The wanted ones as they are now, the oldest first.

        Raises:
            Unavailable · TimedOut · NoResponders: the store is out of reach.
        """
        if self._clock.monotonic() >= self._afresh_at:
            self.forget()
        for each in await asyncio.gather(*(self._catch_up(shard) for shard in SHARDS), return_exceptions=True):
            if each is not None:
                raise each  # only now: what is slow to come must not come after what is read next
        return sorted(self._kept.values(), key=lambda each: each.time)

    def forget(self) -> None:
        """Read everything again next time: what is wanted has changed."""
        self._kept.clear()
        self._seen.clear()
        self._afresh_at = self._clock.monotonic() + AFRESH_EVERY

    async def _catch_up(self, shard: str) -> None:
        for subject, sequence, record in await self._journals.changed(shard, after=self._seen.get(shard, 0)):
            self._seen[shard] = max(sequence, self._seen.get(shard, 0))
            if record is not None and self._wanted(record.entry.head):
                self._kept[subject] = record
            else:
                self._kept.pop(subject, None)
