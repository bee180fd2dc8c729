"""`Room`: the places of a process, those who wait for one, and who may have the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from mesh.jobs.owning.backlog import Backlog
from mesh.jobs.owning.decisions import Decisions
from mesh.jobs.owning.places import Places
from mesh.protocols.ports import Clock


class Room:
    """For at most `most` jobs at once."""

    def __init__(self, most: int, policy: Decisions, clock: Clock) -> None:
        self.places = Places(most)
        """Of the jobs that are driven here, and of those that are about to be journaled as ours."""
        self.backlog = Backlog(self.places, policy.share, clock.monotonic)
        self._policy = policy
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def free(self) -> int:
        """Jobs that could be driven beside those that are, and those that wait for it here."""
        return self.places.most - len(self.places) - self.backlog.ready

    def close(self) -> None:
        """Promise no place to anybody from now on."""
        self._closed = True

    async def for_another(self) -> None:
        """Wait until another job could be driven here."""
        while self.free <= 0:
            await self._change()

    async def for_who_waits(self) -> None:
        """Wait until there is a place, and somebody who may have it."""
        while True:
            await self.backlog.filled()
            if len(self.places) < self.places.most:
                return
            await self._change()

    def hold(self, job: str, tenant: str) -> bool:
        """Keep a place for a job that is about to be journaled as ours: until it is driven, nobody here takes it for left over."""
        at_once = self._policy.share(tenant).at_once
        full = self.free <= 0 or (at_once is not None and self.places.of(tenant) >= at_once)
        if self._closed or full or job in self.places:
            return False
        self.places.enter(job, tenant)
        return True

    def let_go(self, job: str) -> None:
        """The job needs its place no more. Again: nothing happens."""
        self.places.leave(job)
        self.stir()

    def stir(self) -> None:
        """Somebody may have a place who had none."""
        self._changed.set()
        self.backlog.stir()

    def queue_full(self, tenant: str) -> bool:
        """Whether as many of the tenant's jobs wait here as may."""
        most = self._policy.share(tenant).queue
        return most is not None and self.backlog.waiting(tenant) >= most

    def wanted(self, tenants: Iterable[str]) -> dict[str, int]:
        """How many more jobs each of these should have here, driven or waiting, for its share of the places. At least one is
        everybody's."""
        weights = {each: self._policy.share(each).weight for each in {*tenants, *self.places.tenants}}
        unit = self.places.most / sum(weights.values()) if weights else 0.0
        return {each: max(1, int(unit * weights[each])) - self._has(each) for each in tenants}

    def _has(self, tenant: str) -> int:
        return self.places.of(tenant) + self.backlog.waiting(tenant)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
