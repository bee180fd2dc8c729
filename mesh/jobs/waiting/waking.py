"""`Waking`: what is said to a job, or comes due, while nobody drives it is journaled by whichever host hears of it first. A job
that can go on then is offered to those who host its workflow; one that somebody drives, its owner is told to look.

Two durable consumers are shared by all hosts: `inbox` on the stream INBOX, `timers` on what comes due in the stream TIM. A
message is acked once the journal shows what became of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from mesh.jobs.intake.pulling import Again, Pulling
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import INBOX, TIMERS
from mesh.jobs.owning.backlog import Candidate
from mesh.jobs.owning.seat import Seat
from mesh.jobs.waiting.inbox import Inbox, ready
from mesh.jobs.waiting.timers import DEADLINE, token_of
from mesh.protocols.errors import Conflict, InvalidName, NoResponders, TimedOut, Unavailable
from mesh.protocols.job_events import MOST_WAITS, Entry, Event, JobHead, encode_entry
from mesh.protocols.job_head import advance
from mesh.protocols.job_rules import TERMINAL, UNOWNED
from mesh.protocols.job_state import JobState, Recorded
from mesh.protocols.ports import Delivery

logger = logging.getLogger("mesh.jobs")

ACK_WAIT = 5.0
"""Seconds after which what a host that died had in hand comes to another one. To journal it again changes nothing."""
MOST_UNKNOWN = 8
"""Deliveries of a message for a job that has no journal, or of a timer of no wait: it may have been sent a moment before the job
was, or a server lags behind."""


class Waking:
    """The part of one process. `attend` tells an owner here to look into its job's inbox, if the job is driven here;
    `runnable` hears of jobs that need an owner, with what they amount to, `elsewhere` of those whose owner, somewhere else, should look."""

    def __init__(
        self,
        seat: Seat,
        journals: Journals,
        inbox: Inbox,
        *,
        attend: Callable[[str], bool],
        runnable: Callable[[Candidate, JobState], None],
        elsewhere: Callable[[Candidate], None],
    ) -> None:
        self._seat = seat
        self._journals = journals
        self._inbox = inbox
        self._attend = attend
        self._runnable = runnable
        self._elsewhere = elsewhere
        self._pulling: list[Pulling] = []

    async def open(self) -> None:
        """Take part from now on. Again: nothing happens."""
        if self._pulling:
            return
        seat = self._seat
        inbox, timers = seat.subjects.stream(INBOX), seat.subjects.stream(TIMERS)
        all_said, all_due = (seat.subjects.inbox_filter(),), (seat.subjects.timer_due_all(),)
        said = await seat.store.consumer(inbox, "inbox", all_said, max_deliver=-1, ack_wait=ACK_WAIT)
        timed = await seat.store.consumer(timers, "timers", all_due, max_deliver=-1, ack_wait=ACK_WAIT)
        self._pulling = [
            Pulling(said, seat.clock, self._said, what="inbox of jobs"),
            Pulling(timed, seat.clock, self._timed, what="timers of jobs"),
        ]

    async def close(self) -> None:
        """Take no part any more. Again: nothing happens."""
        pulling, self._pulling = self._pulling, []
        for each in pulling:
            await each.close()

    # -- one message

    async def _said(self, delivery: Delivery) -> Again | None:
        message = delivery.message
        try:
            tenant, job = self._seat.subjects.parse_inbox(message.subject)
        except InvalidName as error:
            logger.warning("a message for a job that is none, on %s: %s", message.subject, error)
            return None
        last = await self._journals.last(tenant, job)
        if last is None:
            return self._unknown(delivery, job)
        if last.entry.head.state in TERMINAL or last.entry.head.inbox >= message.sequence:
            return None
        if last.entry.head.state in UNOWNED:
            state = await self._journal_for_nobody(tenant, job, 0.0)
            return None if state.terminal or state.inbox >= message.sequence else Again()
        if not self._attend(job):
            self._elsewhere(_nudge(last))
        return Again()

    async def _timed(self, delivery: Delivery) -> Again | None:
        """While somebody drives the job, it minds its times itself; but it may be about to let go of it. A server that lags behind
        may not show yet what has come due: only an end, or what is there for long, is believed."""
        message = delivery.message
        try:
            tenant, job, token = self._seat.subjects.parse_timer(message.subject)
        except InvalidName as error:
            logger.warning("a timer that is none, on %s: %s", message.subject, error)
            return None
        last = await self._journals.last(tenant, job)
        if last is not None and last.entry.head.state in TERMINAL:
            return None
        if last is None or not _waits_for(last.entry.head, token):
            return Again() if delivery.attempts < MOST_UNKNOWN else None
        if last.entry.head.state not in UNOWNED:
            return Again()
        state = await self._journal_for_nobody(tenant, job, message.time)
        behind = state.sequence < last.sequence or not state.unowned or ready(state, message.time)
        return Again() if behind and not state.terminal else None

    def _unknown(self, delivery: Delivery, job: str) -> Again | None:
        if delivery.attempts < MOST_UNKNOWN:
            return Again()
        logger.warning("a message for job %s, which is not there, is passed over", job)
        return None

    # -- writing for nobody

    async def _journal_for_nobody(self, tenant: str, job: str, at: float) -> JobState:
        """Journal what was said, and what has come due by `at`, for as long as nobody owns the job; what it amounts to then."""
        while True:
            state = await self._journals.state(tenant, job)
            if not state.unowned or state.unreadable:
                return state
            if await self._write(state, tenant, at):
                if state.status == "submitted":
                    self._runnable(_offer(state, tenant), state)
                return state

    async def _write(self, state: JobState, tenant: str, at: float) -> bool:
        """Whether everything is journaled; False: the journal went on without us, read it again."""
        for stored in await self._inbox.unread(state, tenant):
            if not await self._append(state, tenant, (await self._inbox.decision(state, tenant, stored))()):
                return False
        events = ready(state, at)
        return not events or await self._append(state, tenant, events)

    async def _append(self, state: JobState, tenant: str, events: tuple[Event, ...]) -> bool:
        entry = Entry(
            id=self._seat.ids.uuid(),
            job=state.job,
            tenant=tenant,
            head=advance(state.head, tenant, events),
            events=events,
            epoch=state.epoch,
            previous=state.sequence,
        )
        objection = state.objection(entry)
        if objection:
            logger.error("what was said to job %s cannot be journaled: %s", state.job, objection)
            return True
        subject = self._seat.subjects.job(tenant, state.job)
        try:
            ack = await self._seat.store.append(
                subject, encode_entry(entry), message_id=entry.id, expected=state.sequence
            )
        except (Conflict, TimedOut, Unavailable, NoResponders) as error:
            logger.debug("journaling for job %s: %s", state.job, error)
            await self._seat.clock.sleep(0.01 + 0.04 * self._seat.ids.random.random())
            return False
        return not ack.duplicate and state.apply(Recorded(entry, ack.sequence, self._seat.clock.now()))


def _waits_for(head: JobHead, token: str) -> bool:
    """Whether the job may still wait for that time; of very many waits a head does not tell all."""
    many = len(head.waits) >= MOST_WAITS
    return token == DEADLINE or many or any(token_of(each.key) == token for each in head.waits)


def _nudge(last: Recorded) -> Candidate:
    entry = last.entry
    return Candidate(
        job=entry.job,
        tenant=entry.tenant,
        workflow=entry.head.workflow,
        version=entry.head.version,
        attend=True,
    )


def _offer(state: JobState, tenant: str) -> Candidate:
    head = state.head
    assert head is not None
    return Candidate(
        job=state.job,
        tenant=tenant,
        workflow=head.workflow,
        version=head.version,
        priority=head.priority,
        snapshot=head.snapshot,
    )
