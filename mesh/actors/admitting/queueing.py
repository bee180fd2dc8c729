"""`FairQueue`: what waits where several tenants, or several priorities, want the same places. Sans-IO.

Between tenants: deficit round-robin (M. Shreedhar and G. Varghese, "Efficient Fair Queuing Using Deficit Round-Robin",
SIGCOMM 1995), where a call counts as one whatever it takes:

    quantum(t) = weight(t) / least weight of those that wait        so each round serves everybody
    a visit serves one call, where deficit(t) ≥ 1, and takes that off; when nobody has so much left, deficit(t) += quantum(t)

There a visit serves all that its quantum allows. One tenant with a hundredth of the others' weight would so have each of them
wait for a hundred calls of another in a row; call by call, they take turns.

A tenant that comes anew has one call before the others' turns, and then takes turns as they do; one that has just had its
turn and nothing left stays until the next, so that it cannot come anew each time (the new and old flows of FQ-CoDel, RFC
8290). Who calls seldom so hardly feels who calls all the time.

Of those, who holds its share of the places, `capacity · weight / sum of the weights`, lets the others go first: long calls of
one would else end up in every place. Nobody holds more than its `at_once`.

Within a tenant: the order of `fairness.due`. When there is no room, the tenant that has most waiting for its weight gives
its least urgent and newest away (P. McKenney, "Stochastic Fairness Queueing", 1990, steals buffers from the longest queue).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import ceil

from mesh.actors.admitting.fairness import Host, due, priority_of
from mesh.actors.running.work import Work

LIGHTEST = 1e-6
"""Smaller weights count as this one: quotients of them must be numbers."""


class Lane:
    """What one tenant has waiting, by priority."""

    __slots__ = ("_waiting", "deficit", "size", "tenant", "weight")

    def __init__(self, tenant: str, weight: float) -> None:
        self.tenant = tenant
        self.weight = weight
        self.deficit = 0.0
        self.size = 0
        self._waiting: dict[int, deque[Work]] = {}

    def add(self, work: Work) -> None:
        """Behind all of its priority."""
        self._waiting.setdefault(priority_of(work), deque()).append(work)
        self.size += 1

    def take(self) -> Work:
        """The first in the order of `due`."""
        waiting = min(self._waiting.values(), key=lambda each: due(each[0]))
        return self._left(waiting, waiting.popleft())

    @property
    def last(self) -> Work:
        """The last in the order of `due`."""
        return max((each[-1] for each in self._waiting.values()), key=due)

    def remove(self, work: Work) -> None:
        """It does not wait any more."""
        waiting = self._waiting[priority_of(work)]
        waiting.remove(work)
        self._left(waiting, work)

    def before(self, work: Work) -> int:
        """How many of these go before it, about: those that are partly overtaken count half."""
        mine, count = due(work), 0
        for each in self._waiting.values():
            if due(each[-1]) <= mine:
                count += len(each)
            elif due(each[0]) <= mine:
                count += len(each) // 2
        return count

    def _left(self, waiting: deque[Work], work: Work) -> Work:
        self.size -= 1
        if not waiting:
            del self._waiting[priority_of(work)]
        return work

    def __iter__(self) -> Iterator[Work]:
        return chain.from_iterable(self._waiting.values())


class FairQueue:
    """Used as a deque is: `append`, `popleft`, `remove`. `held` is kept by `entered` and `left`."""

    __slots__ = ("_host", "_lanes", "_new", "_size", "_turn", "held")

    def __init__(self, host: Host, works: Iterable[Work] = ()) -> None:
        self._host = host
        self._lanes: dict[str, Lane] = {}
        self._new: deque[Lane] = deque()
        self._turn: deque[Lane] = deque()
        self._size = 0
        self.held = host.held()
        """Places of each tenant, those with none left out."""
        for each in works:
            self.append(each)
        self._turn, self._new = self._new, self._turn  # they have waited already

    def append(self, work: Work) -> None:
        """Let it wait."""
        lane = self._lanes.get(work.envelope.tenant) or self._join(work.envelope.tenant)
        lane.add(work)
        self._size += 1

    def popleft(self) -> Work | None:
        """Whose turn it is; None where all that wait are of tenants that have as many places as they may."""
        lane = self._next()
        if lane is None:
            return None
        work = lane.take()
        self._size -= 1
        lane.deficit -= 1
        if self._new and self._new[0] is lane:
            self._turn.append(self._new.popleft())
        else:
            self._turn.rotate(-1)
        return work

    def remove(self, work: Work) -> None:
        """It does not wait any more."""
        lane = self._lanes[work.envelope.tenant]
        lane.remove(work)
        self._size -= 1

    @property
    def ready(self) -> bool:
        """Whether somebody waits who may have a place."""
        return any(each.size and self._may_enter(each) for each in self._lanes.values())

    def ahead(self, work: Work) -> int:
        """How many would be begun before it, were it to wait now: its own tenant's, and the others' in their turns."""
        own = self._lanes.get(work.envelope.tenant)
        if own is None:
            return len(self._new)
        before, others = own.before(work), (each for each in self._lanes.values() if each is not own)
        return before + sum(min(each.size, ceil((before + 1) * each.weight / own.weight)) for each in others)

    def has_room(self, work: Work, limit: int) -> bool:
        """Whether it can wait here, where `limit` may in all."""
        return self._size < limit and not self._has_enough(work.envelope.tenant)

    def in_the_way(self, work: Work) -> Work | None:
        """Where there is no room: whom to shed for `work`; None: nobody, it is `work` that has to go."""
        tenant = work.envelope.tenant
        own = self._lanes.get(tenant)
        if not self._has_enough(tenant):
            size, weight = (own.size, own.weight) if own is not None else (0, self._weight(tenant))
            longest = max(self._lanes.values(), key=lambda each: each.size / each.weight)
            if longest is not own and longest.size / longest.weight > (size + 1) / weight:
                return longest.last
        if own is None or not own.size or due(own.last) <= due(work):
            return None
        return own.last

    def _has_enough(self, tenant: str) -> bool:
        """Whether as many of a tenant wait as its share allows."""
        most = self._host.share(tenant).queue if self._host.shares else None
        return most is not None and tenant in self._lanes and self._lanes[tenant].size >= most

    # -- places

    def entered(self, tenant: str) -> None:
        """One of this tenant's has a place now."""
        self.held[tenant] = self.held.get(tenant, 0) + 1

    def left(self, tenant: str) -> None:
        """It has it no more."""
        count = self.held.get(tenant, 0) - 1
        if count > 0:
            self.held[tenant] = count
        else:
            self.held.pop(tenant, None)

    # -- turns

    def _next(self) -> Lane | None:
        """Whose turn it is. Who has to stand back keeps its deficit, and is asked after the others."""
        tests: list[Callable[[Lane], bool]] = [self._may_enter]
        if self._host.capacity > 1 and self.held and len(self._lanes) > 1:
            tests.insert(0, self._below_share())
        for fits in tests:
            if (lane := self._first(fits)) is not None:
                return lane
            if any(each.size and fits(each) for each in self._lanes.values()):
                self._begin_round()
                return self._first(fits)
        return None

    def _first(self, fits: Callable[[Lane], bool]) -> Lane | None:
        """The first in turn that fits and has something left of its quantum."""
        for lanes in (self._new, self._turn):
            for _ in range(len(lanes)):
                if not lanes[0].size:
                    del self._lanes[lanes.popleft().tenant]
                elif lanes[0].deficit >= 1 and fits(lanes[0]):
                    return lanes[0]
                else:
                    lanes.rotate(-1)
        return None

    def _may_enter(self, lane: Lane) -> bool:
        if not self._host.shares:
            return True
        at_once = self._host.share(lane.tenant).at_once
        return at_once is None or self.held.get(lane.tenant, 0) < at_once

    def _below_share(self) -> Callable[[Lane], bool]:
        """Whether a lane holds less than its share of the places, of those that wait or hold some."""
        held, known = self.held, {each.tenant for each in self._lanes.values() if each.size} | self.held.keys()
        unit = self._host.capacity / sum(map(self._weight, known))
        return lambda lane: held.get(lane.tenant, 0) < unit * lane.weight and self._may_enter(lane)

    def _join(self, tenant: str) -> Lane:
        lane = Lane(tenant, self._weight(tenant))
        if self._lanes and lane.weight < (least := self._least()):  # each round is longer by so much: this one, too
            for each in self._lanes.values():
                each.deficit *= least / lane.weight
        self._lanes[tenant] = lane
        self._new.append(lane)
        lane.deficit = lane.weight / self._least()
        self._bound()
        return lane

    def reweigh(self) -> None:
        """Shares have changed."""
        for lane in self._lanes.values():
            lane.weight = self._weight(lane.tenant)
        self._bound()

    def _begin_round(self) -> None:
        """Nobody whose turn it might be has anything left."""
        least = self._least()
        for lane in self._lanes.values():
            lane.deficit += lane.weight / least
        self._bound()

    def _bound(self) -> None:
        """Who had to stand back, or waited beside one with a smaller weight, has not saved up what is out of proportion now."""
        least = self._least()
        for lane in self._lanes.values():
            lane.deficit = min(lane.deficit, lane.weight / least + 1)

    def _weight(self, tenant: str) -> float:
        return max(self._host.share(tenant).weight, LIGHTEST) if self._host.shares else 1.0

    def _least(self) -> float:
        return min((each.weight for each in self._lanes.values()), default=1.0)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Work]:
        return chain.from_iterable(self._lanes.values())
