"""`Pulling`: takes messages from a durable consumer that all hosts share, and sees each through: accounted for, or to come
again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Clock, Consumer, Delivery

logger = logging.getLogger("mesh.jobs")

PULL = 5.0
AT_ONCE = 16
LONGEST_PAUSE = 5.0
FINISH_WITHIN = 10.0
"""Seconds for which leaving waits for what is in hand: what the store does not take then comes to another process."""


class Again(NamedTuple):
    """The message is to come again, `after` so many seconds; None: ever later, as often as it has come."""

    after: float | None = None


async def _at_once() -> None:
    return


class Pulling:
    """`handle` gives None for a message that is accounted for, which is acked then. It may raise: then the message comes again.
    `has_room` is awaited before each pull."""

    def __init__(
        self,
        consumer: Consumer,
        clock: Clock,
        handle: Callable[[Delivery], Awaitable[Again | None]],
        *,
        what: str,
        has_room: Callable[[], Awaitable[None]] = _at_once,
    ) -> None:
        self._consumer = consumer
        self._clock = clock
        self._handle = handle
        self._what = what
        self._has_room = has_room
        self._in_hand: set[asyncio.Task[None]] = set()
        self._task = asyncio.get_running_loop().create_task(self._pull(), name=what)

    async def close(self) -> None:
        """Take nothing more; what is in hand is finished, if it can be soon. Again: nothing happens."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._in_hand:
            _, late = await asyncio.wait(self._in_hand, timeout=FINISH_WITHIN)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._consumer.close()

    async def _pull(self) -> None:
        while True:
            if len(self._in_hand) >= AT_ONCE:
                await asyncio.wait(self._in_hand, return_when=asyncio.FIRST_COMPLETED)
            await self._has_room()
            delivery = await self._next()
            if delivery is not None:
                task = asyncio.get_running_loop().create_task(self._see_through(delivery))
                self._in_hand.add(task)
                task.add_done_callback(self._in_hand.discard)

    async def _next(self) -> Delivery | None:
        """Whatever goes wrong, it is not the last pull: nobody would notice."""
        try:
            return await self._consumer.next(PULL)
        except MeshError as error:
            logger.info("%s: out of reach: %s", self._what, error)
        except Exception:
            logger.exception("%s: pulling failed", self._what)
        await self._clock.sleep(0.5)
        return None

    async def _see_through(self, delivery: Delivery) -> None:
        again: Again | None = Again()
        try:
            again = await self._handle(delivery)
        except MeshError as error:
            logger.info("%s: message %d comes again: %s", self._what, delivery.message.sequence, error)
        except Exception:
            logger.exception("%s: message %d comes again", self._what, delivery.message.sequence)
        try:
            if again is None:
                await delivery.ack()
            else:
                await delivery.retry(_pause(delivery) if again.after is None else again.after)
        except MeshError as error:
            logger.info("%s: message %d comes again by itself: %s", self._what, delivery.message.sequence, error)


def _pause(delivery: Delivery) -> float:
    return float(min(LONGEST_PAUSE, 0.05 * 2 ** min(delivery.attempts, 10)))
