"""`Unclaimed`: what was published for nobody. Every process that hosts workflows takes part in the consumer `in-unclaimed`.

It sees every message of the ingress. One for a workflow that was ever hosted is the business of that workflow's own
consumer, now or when its hosts are back, and is left to it. One that no workflow can ever claim, or whose workflow is still
unknown after `grace` seconds, is dead-lettered (docs/decisions/0004).
"""

from __future__ import annotations

from mesh.jobs.intake.admission import Admission
from mesh.jobs.intake.dead_letters import DeadLetters
from mesh.jobs.intake.ingress import bury, request_of, source_of
from mesh.jobs.intake.pulling import Again, Pulling
from mesh.jobs.journals.streams import INGRESS
from mesh.jobs.owning.hosted import KnownWorkflows
from mesh.jobs.owning.seat import Seat
from mesh.protocols.errors import InvalidName, UnknownWorkflow
from mesh.protocols.ports import Delivery

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
        self._pulling: Pulling | None = None

    async def open(self) -> None:
        """Take part from now on. Again: nothing happens."""
        if self._pulling is not None:
            return
        consumer = await self._seat.store.consumer(
            self._stream, DURABLE, (self._seat.subjects.ingress_all(),), max_deliver=-1
        )
        self._pulling = Pulling(consumer, self._seat.clock, self.handle, what="ingress unclaimed")

    async def close(self) -> None:
        """Take no part any more. Again: nothing happens."""
        pulling, self._pulling = self._pulling, None
        if pulling is not None:
            await pulling.close()

    async def handle(self, delivery: Delivery) -> Again | None:
        """Leave it to its workflow, wait for one, or dead-letter it."""
        stored, source = delivery.message, source_of(self._stream, delivery.message, delivery.attempts)
        try:
            request = request_of(self._seat, stored, source)
        except InvalidName as error:
            await self._letters.bury_message(source, stored.data, stored.headers, error.fault())
            return None
        if self._known.knows(request.workflow):
            return None
        if delivery.attempts == 1:
            return Again(self._grace)
        if not await self._known.confirm(request.workflow):
            reason = UnknownWorkflow(f"no workflow {request.workflow!r} was ever hosted in this mesh").fault()
            await bury(self._admission, self._letters, request, reason)
        return None
