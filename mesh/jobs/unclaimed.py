"""`Unclaimed`: what was published for nobody. Every process that hosts workflows takes part in the consumer `in-unclaimed`.

It sees every message of the ingress. One for a workflow that was ever hosted is the business of that workflow's own
consumer, now or when its hosts are back, and is left to it. One that no workflow can ever claim, or whose workflow is still
unknown after `grace` seconds, is dead-lettered (docs/decisions/0004).
"""

from __future__ import annotations

import asyncio
import logging

from mesh.jobs.admission import Admission
from mesh.jobs.dead_letters import DeadLetters
from mesh.jobs.hosted import KnownWorkflows
from mesh.jobs.ingress import PULL, UNLIMITED, bury, request_of, source_of
from mesh.jobs.seat import Seat
from mesh.jobs.streams import INGRESS
from mesh.protocols.errors import InvalidName, MeshError, UnknownWorkflow
from mesh.protocols.ports import Consumer, Delivery

logger = logging.getLogger("mesh.jobs")

GRACE = 5.0
"""Seconds that a workflow nobody has heard of is waited for: hosts of one start come up one after the other."""
DURABLE = "in-unclaimed"


class Unclaimed:
    """One process's part in it."""

    def __init__(
        self, seat: Seat, admission: Admission, letters: DeadLetters, known: KnownWorkflows, *, grace: float = GRACE
    ) -> None:
        self._seat = seat
        self._admission = admission
        self._letters = letters
        self._known = known
        self._grace = grace
        self._stream = seat.subjects.stream(INGRESS)
        self._consumer: Consumer | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Take part from now on."""
        self._consumer = await self._seat.store.consumer(
            self._stream, DURABLE, (self._seat.subjects.ingress_all(),), max_deliver=UNLIMITED
        )
        self._task = asyncio.get_running_loop().create_task(self._pull(self._consumer), name="ingress unclaimed")

    async def close(self) -> None:
        """Take no part any more. Again: nothing happens."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._consumer is not None:
            await self._consumer.close()

    async def _pull(self, consumer: Consumer) -> None:
        while True:
            try:
                delivery = await consumer.next(PULL)
                if delivery is not None:
                    await self.handle(delivery)
            except MeshError as error:
                logger.info("the ingress is out of reach: %s", error)
                await self._seat.clock.sleep(0.5)
            except Exception:
                logger.exception("a message of the ingress could not be judged")
                await self._seat.clock.sleep(0.5)

    async def handle(self, delivery: Delivery) -> None:
        """Leave it to its workflow, wait for one, or dead-letter it."""
        stored, source = delivery.message, source_of(self._stream, delivery)
        try:
            request = request_of(self._seat, stored, source)
        except InvalidName as error:
            await self._letters.bury_message(source, stored.data, stored.headers, error.fault())
            return await delivery.ack()
        if self._known.knows(request.workflow):
            return await delivery.ack()
        if delivery.attempts == 1:
            return await delivery.retry(self._grace)
        if not await self._known.confirm(request.workflow):
            reason = UnknownWorkflow(f"no workflow {request.workflow!r} was ever hosted in this mesh").fault()
            await bury(self._admission, self._letters, request, reason)
        return await delivery.ack()
