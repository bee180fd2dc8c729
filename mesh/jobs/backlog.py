"""`Backlog`: jobs that may need an owner, the most urgent first. Whether one really does, its journal says at the claim."""

from __future__ import annotations

import asyncio
import heapq

import msgspec

MOST = 10_000
"""Jobs remembered; those beyond are found again by the next look at the journals."""


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A job that may need an owner; also what a work hint carries.

    `epoch` is the one whose owner is gone: if the job has a later one by now, it is left alone. -1: nobody owned it.
    `snapshot` is where its last one stands, 0 for none; null where that is not known. `attend`: it has an owner, who should
    look into its inbox; nobody else is meant.
    """

    job: str
    tenant: str
    workflow: str
    version: int
    priority: int = 2
    epoch: int = -1
    snapshot: int | None = None
    attend: bool = False


class Backlog:
    """A queue by priority, then first come, first served; each job at most once."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Candidate]] = []
        self._jobs: set[str] = set()
        self._count = 0
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, candidate: Candidate) -> None:
        """Queue it up. Again while it waits: nothing happens."""
        if candidate.job in self._jobs or len(self._heap) >= MOST:
            return
        self._count += 1
        self._jobs.add(candidate.job)
        heapq.heappush(self._heap, (candidate.priority, self._count, candidate))
        self._filled.set()

    async def filled(self) -> None:
        """Wait until there is one."""
        while not self._heap:
            self._filled.clear()
            await self._filled.wait()

    async def take(self) -> Candidate:
        """The most urgent one; waits until there is one."""
        await self.filled()
        candidate = heapq.heappop(self._heap)[2]
        self._jobs.discard(candidate.job)
        return candidate
