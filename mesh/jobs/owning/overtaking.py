"""`Overtaking`: the ingress of a workflow is one line for all tenants, and whoever published 50,000 jobs before you would have you
wait for all of them. While this process has no room for more, it looks past them: of each tenant that has messages there and less
than its share of the places here, the next ones are taken in, out of turn.

What was taken in so is met again later, in its turn, and known by its sequence: a job is a job once. A message that somebody else
is taking at this moment is looked at again: that process may be lost. What several were lost over keeps its turn (`Tries`), and so
does what cannot become a job, or must stay in the stream for now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from mesh.jobs.intake.tries import Before, Tries
from mesh.jobs.journals.streams import INGRESS
from mesh.jobs.owning.lanes import MOST_LANES, Lanes
from mesh.jobs.owning.seat import Seat
from mesh.protocols.errors import Conflict, InvalidName, Killed, MeshError, Overloaded, Transient
from mesh.protocols.ports import Stored

logger = logging.getLogger("mesh.jobs")

EVERY, AT_LEAST_EVERY = 0.25, 1.0
"""Seconds between two looks: as many as the last one took, within these."""
WITHIN = 2.0
"""Seconds for one message: it is known to be there."""
MOST_LOST = 2
"""Processes that may be lost over a message, for whatever reason, before it is left to its turn: it may be what kills them."""


class Overtaking:
    """For one workflow. `wanted` tells how many more jobs each of some tenants should have here, `take` takes a message in."""

    def __init__(
        self,
        seat: Seat,
        workflow: str,
        durable: str,
        *,
        crowded: Callable[[], bool],
        wanted: Callable[[list[str]], dict[str, int]],
        take: Callable[[Stored], Awaitable[None]],
    ) -> None:
        self._seat = seat
        self._stream = seat.subjects.stream(INGRESS)
        self._workflow = workflow
        self._durable = durable
        self._crowded = crowded
        self._wanted = wanted
        self._take = take
        self._tries = Tries(seat)
        self._lanes = Lanes(self._messages)
        self._tenants: list[str] = []
        """Who had messages in the line at the last look."""
        self._taken: dict[str, int] = {}
        """Up to which sequence each tenant's messages have been taken in."""
        self._left: dict[int, Stored] = {}
        """Those before that which somebody else had in hand, by sequence."""
        self._stirred = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._watch(), name=f"overtaking {workflow}")

    def stir(self) -> None:
        """Messages may have to wait from now on."""
        self._stirred.set()

    async def close(self) -> None:
        """Look no more. Again: nothing happens."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._lanes.close()

    async def _watch(self) -> None:
        pause = EVERY
        while True:
            await self._stirred.wait()
            await self._attempt(self._listen(pause))
            if not self._crowded():
                self._stirred.clear()
                await self._lanes.close()
                continue
            began = self._seat.clock.monotonic()
            await self._attempt(self.look())
            pause = min(AT_LEAST_EVERY, max(EVERY, self._seat.clock.monotonic() - began))

    async def _attempt(self, work: Awaitable[None]) -> None:
        """Whatever goes wrong, it is not the last look."""
        try:
            await work
        except (MeshError, TimeoutError) as error:
            logger.info("nobody is let past in the ingress: %s", error)
            await self._lanes.close()
        except Exception:
            logger.exception("nobody is let past in the ingress")
            await self._lanes.close()

    async def _listen(self, seconds: float) -> None:
        """Until the next look: what comes into an open lane meanwhile is taken in at once, within its tenant's share."""
        clock = self._seat.clock
        end = clock.monotonic() + seconds
        while (left := end - clock.monotonic()) > 0:
            come = await self._lanes.arrivals(self._below_share(), left)
            free = self._below_share()
            await _all(self._let_past(each, 1) for each in come if each in free)

    def _below_share(self) -> list[str]:
        """Who was let past, and may be so again."""
        return [tenant for tenant, more in self._wanted(self._tenants).items() if more > 0 and tenant in self._taken]

    async def look(self) -> None:
        """Once: take in what should not wait."""
        handled = await self._seat.store.handled(self._stream, self._durable)
        newest = await self._seat.store.last_each(
            self._stream, self._seat.subjects.ingress_filter(self._workflow), after=handled
        )
        last = {self._tenant(each): each.sequence for each in newest}
        last.pop("", None)
        self._tenants = list(last)
        self._taken = {tenant: at for tenant, at in self._taken.items() if at > handled}
        self._left = {sequence: each for sequence, each in self._left.items() if sequence > handled}
        if len(last) < 2:
            return
        await self._take_in_left()
        wanted = self._wanted(self._tenants)
        waiting = [each for each in last if wanted[each] > 0 and last[each] > self._taken.get(each, 0)]
        chosen = waiting[:MOST_LANES]
        await self._lanes.make_room(chosen)
        await _all(self._let_past(each, wanted[each], last[each], handled) for each in chosen)

    async def _take_in_left(self) -> None:
        """What others had in hand, within the tenants' shares: they may be lost."""
        free = self._wanted(self._tenants)
        chosen = []
        for each in self._left.values():
            tenant = self._tenant(each)
            if free.get(tenant, 0) > 0:
                free[tenant] -= 1
                chosen.append(each)
        await _all(map(self._take_in, chosen))

    async def _let_past(self, tenant: str, count: int, last: int | None = None, handled: int = 0) -> None:
        """The tenant's next messages, up to that sequence. A lane that the line has caught up with is opened anew: it would give
        what has been handled in its turn, once more, and nothing else for as long."""
        taken = self._taken.get(tenant)
        lane = await self._lanes.of(tenant, taken or handled, anew=taken is None)
        found = list[Stored]()
        try:
            while len(found) < count and (last is None or self._taken.get(tenant, 0) < last):
                found.append(await lane.take(WITHIN))
                self._taken[tenant] = found[-1].sequence
        finally:  # what was read is not read again: it is taken in also where the next one does not come
            await _all(map(self._take_in, found))

    def _messages(self, tenant: str, after: int) -> AsyncIterator[Stored]:
        return self._seat.store.follow(self._stream, self._seat.subjects.ingress(tenant, self._workflow), after=after)

    async def _take_in(self, stored: Stored) -> None:
        """Or leave it: to another look, or to its turn.

        Raises:
            Transient: the store does not let us. The tenant's lane is to begin here again.
        """
        sequence, tenant = stored.sequence, self._tenant(stored)
        self._left.pop(sequence, None)
        try:
            await self._try(stored)
        except Conflict:
            self._left[sequence] = stored
        except (Overloaded, Killed) as error:
            logger.info("message %d of the ingress stays there for now: %s", sequence, error)
        except Transient:
            self._taken[tenant] = min(sequence - 1, self._taken.get(tenant, sequence))
            raise
        except MeshError as error:
            logger.info("message %d of the ingress keeps its turn: %s", sequence, error)

    async def _try(self, stored: Stored) -> None:
        before = await self._tries.begin_alone(stored.sequence)
        try:
            if before.lost <= MOST_LOST:
                await self._take(stored)
                before = Before()  # accounted for: who was lost over it counts no more
        finally:
            await self._tries.came_back(stored.sequence, before)

    def _tenant(self, stored: Stored) -> str:
        try:
            return self._seat.subjects.parse_ingress(stored.subject).tenant
        except InvalidName:
            return ""


async def _all(work: Iterable[Awaitable[None]]) -> None:
    """All of it is over when this returns, also where some of it fails: a lane that is still read cannot be closed.

    Raises:
        The first error.
    """
    for each in await asyncio.gather(*work, return_exceptions=True):
        if each is not None:
            raise each
