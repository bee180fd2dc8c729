"""`Backlog`: jobs that may need an owner, and whose turn it is. Whether one really does, its journal says at the claim. Sans-IO,
but for `filled`.

Between tenants: deficit round-robin (M. Shreedhar and G. Varghese, "Efficient Fair Queuing Using Deficit Round-Robin", SIGCOMM
1995), where a job counts as one whatever it takes: in each round a tenant has `weight / least weight of those that wait` turns,
one by one with the others'. Who drives its share of the places already, `places · weight / sum of the weights`, lets the others
go first, and nobody has more than its `at_once`.

Within a tenant: by when it came, each level of priority counting `AGEING` seconds, so that no job waits for ever.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from mesh.jobs.owning.places import Places
from mesh.protocols.policies import TenantShare

MOST = 10_000
"""Jobs remembered; those beyond are found again by the next look at the journals."""
AGEING = 60.0
"""Seconds of waiting that make up for one level of priority."""


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


class _Waiting(NamedTuple):
    """The most urgent is the greatest, and stands last."""

    due: float
    number: int
    candidate: Candidate


class Lane:
    """What one tenant has waiting."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.deficit = 0.0
        self.waiting: list[_Waiting] = []


class Backlog:
    """Each job at most once. `share` tells what a tenant gets, `now` is in seconds that only go forward."""

    def __init__(self, places: Places, share: Callable[[str], TenantShare], now: Callable[[], float]) -> None:
        self._places = places
        self._share = share
        self._now = now
        self._lanes: dict[str, Lane] = {}
        self._turns: deque[Lane] = deque()
        self._jobs: set[str] = set()
        self._count = 0
        self._stirred = asyncio.Event()

    def __len__(self) -> int:
        return len(self._jobs)

    def waiting(self, tenant: str) -> int:
        """How many jobs of the tenant wait."""
        lane = self._lanes.get(tenant)
        return len(lane.waiting) if lane else 0

    @property
    def ready(self) -> int:
        """How many of those that wait may have a place as soon as there is one."""
        return sum(min(len(each.waiting), self._may_have(each)) for each in self._turns)

    def add(self, candidate: Candidate) -> None:
        """Queue it up. Again while it waits: nothing happens. Where too many wait, the tenant with the longest queue for its weight
        gives up its least urgent one: the next look finds it again."""
        if candidate.job in self._jobs or not self._makes_room(candidate.tenant):
            return
        lane = self._lanes.get(candidate.tenant) or self._join(candidate.tenant)
        self._count += 1
        self._jobs.add(candidate.job)
        insort(lane.waiting, _Waiting(-(self._now() + AGEING * candidate.priority), -self._count, candidate))
        self._stirred.set()

    def stir(self) -> None:
        """A place is free, or a share has changed: somebody may have a turn who had none."""
        self._stirred.set()

    async def filled(self) -> None:
        """Wait until somebody may have a turn."""
        while self._next() is None:
            self._stirred.clear()
            await self._stirred.wait()

    def take(self) -> Candidate | None:
        """Whose turn it is; None: all that wait are of tenants that have as many places as they may."""
        lane = self._next()
        if lane is None:
            return None
        candidate = lane.waiting.pop().candidate
        self._jobs.discard(candidate.job)
        lane.deficit -= 1.0
        if lane.waiting:
            self._to_the_end(lane)
        else:
            self._retire(lane)
        return candidate

    # -- lanes

    def _next(self) -> Lane | None:
        """The first in turn that has less than its share; else the first that may have a place at all."""
        able = [each for each in self._turns if self._may_have(each) > 0]
        if len(self._turns) > 1:
            unit = self._places.most / self._weights()
            below = [each for each in able if self._places.of(each.tenant) < unit * self._weight(each)]
            able = below or able
        return self._in_turn(able)

    def _in_turn(self, lanes: list[Lane]) -> Lane | None:
        """The first that has turns left in this round; where none has, another round begins."""
        if lanes and all(each.deficit < 1.0 for each in lanes):
            for each in self._turns:  # who could not have its turns has not saved them up
                quantum = self._quantum(each)
                each.deficit = min(each.deficit, 1.0) + quantum
        return next((each for each in lanes if each.deficit >= 1.0), None)

    def _may_have(self, lane: Lane) -> int:
        at_once = self._share(lane.tenant).at_once
        return self._places.most if at_once is None else at_once - self._places.of(lane.tenant)

    def _weights(self) -> float:
        """Of all that wait or hold a place."""
        others = sum(self._share(each).weight for each in self._places.tenants if each not in self._lanes)
        return others + sum(map(self._weight, self._turns))

    def _weight(self, lane: Lane) -> float:
        return self._share(lane.tenant).weight

    def _quantum(self, lane: Lane) -> float:
        return self._weight(lane) / min(map(self._weight, self._turns))

    def _join(self, tenant: str) -> Lane:
        lane = Lane(tenant)
        longer = min(map(self._weight, self._turns), default=0.0) / self._weight(lane)
        # beside one with a smaller weight a round has more turns for the others: this one, too
        for each in self._turns:
            each.deficit *= max(1.0, longer)
        self._lanes[tenant] = lane
        self._turns.append(lane)
        lane.deficit = self._quantum(lane)
        return lane

    def _retire(self, lane: Lane) -> None:
        del self._lanes[lane.tenant]
        self._turns.remove(lane)

    def _to_the_end(self, lane: Lane) -> None:
        self._turns.remove(lane)
        self._turns.append(lane)

    def _makes_room(self, tenant: str) -> bool:
        if len(self._jobs) < MOST:
            return True
        longest = max(self._turns, key=lambda each: len(each.waiting) / self._weight(each))
        if longest.tenant == tenant:
            return False
        self._jobs.discard(longest.waiting.pop(0).candidate.job)
        if not longest.waiting:
            self._retire(longest)
        return True
