"""`Ingress`: where jobs come in. One durable pull consumer and one request subject for each workflow hosted here.

A message is acked once it is accounted for: journaled as a job, or dead-lettered. While the store is away it is neither, and
comes again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import msgspec

from mesh.jobs.intake.admission import Admission, Admitted, Request
from mesh.jobs.intake.dead_letters import DeadLetters, letter_id
from mesh.jobs.intake.pulling import Again, Pulling
from mesh.jobs.intake.tries import Tries
from mesh.jobs.journals.streams import INGRESS
from mesh.jobs.owning.overtaking import Overtaking
from mesh.jobs.owning.room import Room
from mesh.jobs.owning.seat import Seat
from mesh.jobs.steps.steps import handler_failed
from mesh.protocols.dead_letters import Source
from mesh.protocols.errors import Fault, InvalidName, MeshError, Overloaded, Transient
from mesh.protocols.naming.calls import may_be_answered
from mesh.protocols.ports import Consumer, Delivery, Message, Stored, Subscription
from mesh.protocols.submission import Answer

logger = logging.getLogger("mesh.jobs")

UNSUSPECTED = 5
"""Deliveries after which it is written down who takes the message, in case it kills whoever does."""
MOST_LOST = 5
"""Processes that may take a message and never be heard of again: then it is dead-lettered unread."""
MOST_REQUESTS = 256
PARENT = "Mesh-Parent"
"""The header that says whose child a job is."""
LATER = 1.0
"""Seconds, up to twice as many, after which a submission is to be made again for which there was no room."""
LATE, STAYS_BEHIND = 0.5, 2.0
"""A message that waited so many seconds in the stream, by the clocks on the wall, says that we are behind, and for how long."""
HELD_BACK = 5.0
"""Seconds, up to twice as many, after which a message comes again that must stay in the stream."""


class Ingress:
    """The ingress of one process: as long as there is `room`, it pulls. `admitted` hears of every job taken in."""

    def __init__(
        self,
        seat: Seat,
        admission: Admission,
        letters: DeadLetters,
        room: Room,
        *,
        admitted: Callable[[Admitted], None],
    ) -> None:
        self._seat = seat
        self._admission = admission
        self._letters = letters
        self._room = room
        self._admitted = admitted
        self._stream = seat.subjects.stream(INGRESS)
        self._tries = Tries(seat)
        self._opened: set[str] = set()
        self._pulling: list[Pulling] = []
        self._overtaking: list[Overtaking] = []
        self._behind_until = float("-inf")
        self._subscriptions: list[Subscription] = []
        self._requests: set[asyncio.Task[None]] = set()

    async def prepare(self, workflow: str) -> Consumer:
        """Create the durable consumer, so that nothing published from now on is missed by anybody."""
        return await self._seat.store.consumer(
            self._stream, durable_of(workflow), (self._seat.subjects.ingress_filter(workflow),), max_deliver=-1
        )

    async def open(self, workflow: str) -> None:
        """Take jobs in for this workflow from now on. Again: nothing happens."""
        if workflow in self._opened:
            return
        consumer = await self.prepare(workflow)
        subject = self._seat.subjects.submit_filter(workflow)
        self._subscriptions.append(await self._seat.bus.subscribe(subject, self._requested, queue="submit"))
        self._pulling.append(
            Pulling(consumer, self._seat.clock, self.handle, what=f"ingress of {workflow}", has_room=self._has_room)
        )
        self._overtaking.append(
            Overtaking(
                self._seat,
                workflow,
                durable_of(workflow),
                crowded=self._crowded,
                wanted=self._room.wanted,
                take=self._let_past,
            )
        )
        self._opened.add(workflow)

    async def close(self) -> None:
        """Take nothing more in; what is in hand is finished. Again: nothing happens."""
        self._opened.clear()
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            await subscription.close()
        overtaking, self._overtaking = self._overtaking, []
        for each in overtaking:
            await each.close()
        pulling, self._pulling = self._pulling, []
        for pulled in pulling:
            await pulled.close()
        await asyncio.gather(*self._requests, return_exceptions=True)

    # -- the stream

    async def handle(self, delivery: Delivery) -> Again | None:
        """Account for one message: a job, a dead letter, or another delivery."""
        source = source_of(self._stream, delivery.message, delivery.attempts)
        try:
            request = request_of(self._seat, delivery.message, source)
        except InvalidName as error:
            await self._letters.bury_message(source, delivery.message.data, delivery.message.headers, error.fault())
            return None
        if self._seat.clock.now() - source.received_at > LATE:
            self._behind(STAYS_BEHIND)
        if self._held_back(request):
            self._behind(2 * HELD_BACK)
            return Again(HELD_BACK * (1 + self._seat.ids.random.random()))
        if delivery.attempts <= UNSUSPECTED:
            await self._account(request)
            return None
        before = await self._tries.begin(source.sequence)
        try:
            await self._account(request, before.lost)
        except (Transient, asyncio.CancelledError):
            with suppress(Transient):  # whoever takes it next sees that we are there
                await self._tries.came_back(source.sequence, before)
            raise
        await self._tries.over(source.sequence)
        return None

    def _held_back(self, request: Request) -> bool:
        """Whether it stays in the stream for now: it is killed, or its tenant has enough waiting."""
        policy = self._seat.policy
        if policy.switches and policy.killed(tenant=request.tenant, workflow=request.workflow) is not None:
            return True
        return self._must_queue(request)

    def _must_queue(self, request: Request) -> bool:
        """Another job's child never: its parent may be one of those that others wait for."""
        return self._room.queue_full(request.tenant) and not (request.headers or {}).get(PARENT)

    async def _account(self, request: Request, lost: int = 0) -> None:
        reason: Fault
        try:
            if lost >= MOST_LOST:
                raise MeshError(f"{lost} processes took the message, and none was heard of again")
            admitted = await self._admission.admit(request)
        except Transient:
            raise
        except MeshError as error:
            reason = error.fault()
        except Exception as error:  # noqa: BLE001 - a contract may raise anything; the message is kept with it
            reason = handler_failed(error, f"reading the input of {request.workflow}").fault()
        else:
            return self._admitted(admitted)
        return await bury(self._admission, self._letters, request, reason)

    async def _has_room(self) -> None:
        if self._room.free <= 0:
            self._stir()
        await self._room.for_another()

    def _stir(self) -> None:
        for each in self._overtaking:
            each.stir()

    def _behind(self, seconds: float) -> None:
        self._stir()
        self._behind_until = max(self._behind_until, self._seat.clock.monotonic() + seconds)

    def _crowded(self) -> bool:
        """Whether messages have to wait here for those before them."""
        return self._room.free <= 0 or self._seat.clock.monotonic() < self._behind_until

    async def _let_past(self, stored: Stored) -> None:
        """Take a message in out of turn. Errors as in `Admission.admit`; where it must stay for now, `Overloaded`."""
        request = request_of(self._seat, stored, source_of(self._stream, stored))
        if self._held_back(request):
            raise Overloaded(f"nothing more of tenant {request.tenant} for now")
        self._admitted(await self._admission.admit(request))

    # -- requests

    def _requested(self, message: Message) -> None:
        if not may_be_answered(message.reply):
            return
        if len(self._requests) >= MOST_REQUESTS:
            self._answer(message, Answer(error=Overloaded("too many submissions at once", retry_after=0.5).fault()))
            return
        task = asyncio.get_running_loop().create_task(self._submit(message))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _submit(self, message: Message) -> None:
        try:
            work = self._seat.subjects.parse_submit(message.subject)
            request = Request(tenant=work.tenant, workflow=work.workflow, data=message.data, headers=message.headers)
            if self._must_queue(request):
                raise Overloaded(
                    f"tenant {work.tenant} has as many jobs waiting as it may: hand this one in later",
                    retry_after=LATER * (1 + self._seat.ids.random.random()),
                )
            admitted = await self._admission.admit(request)
        except MeshError as error:
            self._answer(message, Answer(error=error.fault(self._seat.process)))
        except Exception as error:
            logger.exception("a submission failed")
            self._answer(message, Answer(error=handler_failed(error, "reading the input").fault()))
        else:
            try:
                self._answer(message, Answer(job=admitted.job, duplicate=admitted.duplicate))
            finally:
                self._admitted(admitted)

    def _answer(self, message: Message, answer: Answer) -> None:
        self._seat.bus.publish(message.reply, msgspec.json.encode(answer))


def durable_of(workflow: str) -> str:
    """The consumer that all hosts of the workflow share."""
    return f"in-{workflow}"


def source_of(stream: str, stored: Stored, attempts: int = 0) -> Source:
    """Where the message stands."""
    return Source(
        stream=stream,
        sequence=stored.sequence,
        subject=stored.subject,
        received_at=stored.time,
        attempts=attempts,
    )


def request_of(seat: Seat, stored: Stored, source: Source) -> Request:
    """The message as a request.

    Raises:
        InvalidName: its subject names no tenant and workflow.
    """
    work = seat.subjects.parse_ingress(stored.subject)
    return Request(tenant=work.tenant, workflow=work.workflow, data=stored.data, headers=stored.headers, source=source)


async def bury(admission: Admission, letters: DeadLetters, request: Request, reason: Fault) -> None:
    """Dead-letter a message: journaled as a job that is over, so that it can never run, then kept whole. Not one that became a job
    before: whatever is wrong with it now, that is done."""
    assert request.source is not None
    if await admission.has_admitted(request):
        return
    job = await admission.refuse(request, reason, letter_id(request.source))
    await letters.bury_message(
        request.source, request.data, request.headers, reason, tenant=request.tenant, workflow=request.workflow, job=job
    )
