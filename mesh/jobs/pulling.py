"""`Pulling`: takes messages from a durable consumer that all hosts share, and sees each through: accounted for, or to come
again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Clock, Consumer, Delivery

logger = logging.getLogger("mesh.jobs")

PULL = 5.0
AT_ONCE = 16
LONGEST_PAUSE = 5.0


class Pulling:
    """`handle` says whether a message is accounted for; one that is not comes again, ever later. It may raise: likewise."""

    def __init__(
        self, consumer: Consumer, clock: Clock, handle: Callable[[Delivery], Awaitable[bool]], *, what: str
    ) -> None:
        self._consumer = consumer
        self._clock = clock
        self._handle = handle
        self._what = what
        self._task = asyncio.get_running_loop().create_task(self._pull(), name=what)

    async def close(self) -> None:
        """Take nothing more; what is in hand is finished. Again: nothing happens."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.close()

    async def _pull(self) -> None:
        in_hand: set[asyncio.Task[None]] = set()
        try:
            while True:
                if len(in_hand) >= AT_ONCE:
                    await asyncio.wait(in_hand, return_when=asyncio.FIRST_COMPLETED)
                delivery = await self._next()
                if delivery is not None:
                    task = asyncio.get_running_loop().create_task(self._see_through(delivery))
                    in_hand.add(task)
                    task.add_done_callback(in_hand.discard)
        finally:
            await asyncio.gather(*in_hand, return_exceptions=True)

    async def _next(self) -> Delivery | None:
        try:
            return await self._consumer.next(PULL)
        except MeshError as error:
            logger.info("%s: out of reach: %s", self._what, error)
            await self._clock.sleep(0.5)
            return None

    async def _see_through(self, delivery: Delivery) -> None:
        try:
            if await self._handle(delivery):
                return await delivery.ack()
        except MeshError as error:
            logger.info("%s: message %d comes again: %s", self._what, delivery.message.sequence, error)
        except Exception:
            logger.exception("%s: message %d comes again", self._what, delivery.message.sequence)
        try:
            await delivery.retry(min(LONGEST_PAUSE, 0.05 * 2 ** min(delivery.attempts, 10)))
        except MeshError as error:
            logger.info("%s: it comes again by itself: %s", self._what, error)
