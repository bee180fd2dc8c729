"""`Run`: one owner's running of one job, from the top of its workflow to its end, or to where nobody need hold it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import msgspec

from mesh.jobs.authoring.workflow import Workflow
from mesh.jobs.journals.journal import Journal
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.words import because, why
from mesh.jobs.owning.seat import Seat
from mesh.jobs.replay.course import Course
from mesh.jobs.replay.divergence import Divergence
from mesh.jobs.replay.hold import Hold
from mesh.jobs.running.acting import Acting
from mesh.jobs.running.awaiting import Awaiting
from mesh.jobs.running.branch_times import BranchTimes
from mesh.jobs.running.busy_values import BusyValues
from mesh.jobs.running.leaving import Leaving
from mesh.jobs.running.limits import Limits
from mesh.jobs.running.scope import Scope, current
from mesh.jobs.running.stillness import Stillness
from mesh.jobs.steps.calling import Calling
from mesh.jobs.steps.calls import Contractor
from mesh.jobs.steps.doubts import Doubts
from mesh.jobs.steps.gate import Gate, stands_still
from mesh.jobs.steps.performing import Performing
from mesh.jobs.steps.saga import Saga
from mesh.jobs.steps.steps import Steps
from mesh.jobs.steps.undoing import Undoing
from mesh.jobs.waiting.attention import Attention
from mesh.jobs.waiting.children import Children, tell_parent
from mesh.jobs.waiting.inbox import Inbox
from mesh.jobs.waiting.persons import Persons
from mesh.jobs.waiting.timers import Timers
from mesh.jobs.waiting.waits import Waits
from mesh.protocols.errors import Cancelled, DeadlineExceeded, JournalCorrupt
from mesh.protocols.job_events import Cancelled as CancelledEvent
from mesh.protocols.job_events import Compensated, Event, Failed, OwnerReleased, Parked, Paused, Submitted, Suspended
from mesh.protocols.job_state import Claim, JobState


class InHand(Acting, Awaiting, Leaving):
    """What a workflow sees as its `Job` while an owner runs it."""


class Run:
    """Made by the owner once it has claimed the job; `main` runs the workflow to its end."""

    def __init__(
        self,
        seat: Seat,
        journal: Journal,
        workflow: Workflow[Any],
        contractor: Contractor,
        values: Values,
        inbox: Inbox,
        timers: Timers,
    ) -> None:
        if journal.state.submitted is None:
            raise JournalCorrupt(f"job {journal.state.job} was never submitted")
        self._seat = seat
        self._journal = journal
        self._workflow = workflow
        self._submitted: Submitted = journal.state.submitted
        self._stillness = Stillness(seat.clock)
        self._values = values = BusyValues(values, self._stillness)
        self.course = Course(journal.state, workflow.on_change, self._let_pass)
        self._steps = Steps(seat, journal, values, self._stillness, self.course, self._submitted.correlation or self.id)
        self._attention = Attention(journal, inbox, seat.clock, self._heard, self._decided)
        self._waits = Waits(journal, timers, self._stillness, self.course, opened=self._attention.rearm)
        self._gate = Gate(
            seat.policy,
            journal,
            self._waits,
            workflow.name,
            may_begin=self._steps.may_begin,
            pause=self._steps.pause,
        )
        self._children = Children(seat, journal, self._waits, self._stillness, self._gate, used=self._steps.uses)
        doubts = Doubts(seat, journal, values, self._waits, self._stillness)
        persons = Persons(seat, journal, values, self._waits, self._stillness)
        self._performing = Performing(journal, self._steps, self._waits, self._gate, doubts, persons)
        self._saga = Saga(seat, journal, self._waits)
        self._limits = Limits(seat.clock, journal, self._submitted, self._steps)
        self._calling = Calling(seat, journal, contractor, self._limits, self._submitted, workflow.name)
        self._branch_times = BranchTimes(seat.clock, journal, self._waits)
        self._job = InHand(
            seat=seat,
            journal=journal,
            submitted=self._submitted,
            workflow=workflow,
            values=values,
            steps=self._steps,
            waits=self._waits,
            children=self._children,
            performing=self._performing,
            saga=self._saga,
            limits=self._limits,
            calling=self._calling,
            branch_times=self._branch_times,
            course=self.course,
        )
        self._events = 0
        self._heard()

    @property
    def id(self) -> str:
        """The job's id."""
        return self._journal.state.job

    async def main(self) -> msgspec.Raw:
        """Run the workflow from the top; its result as JSON.

        Raises:
            Exception: whatever it raised. BadPayload · BadResult: what went in or came out does not fit its types.
            DeadlineExceeded: the job's own deadline.
        """
        self._must_be_wanted()
        result = await self._limits.enforce(f"job {self.id}", self._body())
        if self.cancelled is None:
            self.course.over("")
        return self._workflow.output.encode(result)

    def _must_be_wanted(self) -> None:
        """A job that its submitter had given up before anybody came to it does nothing at all."""
        state = self._journal.state
        if self._limits.deadline is None or not self._limits.deadline.expired or state.steps or state.waits:
            return
        self._seat.counts["job-given-up"] += 1
        self._seat.telemetry.emit(
            "job.given_up", job=self.id, tenant=self._journal.tenant, workflow=self._workflow.name,
            correlation=self._job.correlation,
        )  # fmt: skip
        raise DeadlineExceeded(
            f"job {self.id}: its deadline had passed before it was begun, and nobody waits for it any more"
        )

    async def _body(self) -> Any:
        current.set(Scope(self.id, "", self._began(), self.course.ahead))
        arguments = self._workflow.arguments(await self._values.load(self._submitted.input))
        return await self._workflow.function(self._job, **arguments)

    async def wind_up(self) -> None:
        """The workflow is over: nobody waits any more for the children that are left."""
        await self._children.stop()

    async def tell_parent(self) -> None:
        """The job is over in a moment: whoever waits for it hears so before it is journaled, so that no crash keeps it back."""
        await tell_parent(self._seat, self._journal.state, self._journal.check)

    # -- undo what it did

    @property
    def being_undone(self) -> bool:
        """Whether an owner has begun to undo what the job had done: then it never goes forward again."""
        return self._saga.begun

    async def undo(self, ended: Failed | CancelledEvent | None) -> Event:
        """How the job ends that `ended` so (None: it was being undone already), once what it had done is undone.

        Raises:
            LeaseLost: somebody else goes on with it.
        """
        fault = self._journal.state.undoing or (ended.fault if ended else Cancelled().fault())
        asked = self._performing.all_asked and ended is not None
        self._shield()
        await self._journal.flush()
        if not asked:
            await self._recall()
        if ended is not None and not self._saga.due():
            return ended
        undoing = Undoing(self._seat, self._journal, self._values, self._performing, self._calling.call)
        left = await self._saga.unwind(fault, undoing.do)
        if left:
            return Failed(fault=msgspec.structs.replace(fault, detail={**fault.detail, "not_undone": left}))
        return Compensated(fault=fault)

    def _shield(self) -> None:
        """What undoes the job's steps is held up by nothing that was said to the job, nor by its deadline or its budget."""
        self.course = self._job.course = Course(JobState(), "warn", self._let_pass)
        self._steps.shield(self.course)
        self._waits.shield(self.course)
        self._limits.shield()

    async def _recall(self) -> None:
        """Learn how the steps are undone that this run has not come to."""
        with self._stillness.working():
            await self.retrace(self._body(), learns=True)
        self._job.hold = self._performing.hold = self._waits.hold = None

    async def retrace(self, work: Coroutine[Any, Any, Any], *, learns: bool = False) -> tuple[bool, list[str]]:
        """Do the work, which runs the workflow, as far as the journal goes: whether that was to its end, and the keys that it
        came to and the journal does not have."""
        hold = self._job.hold = self._performing.hold = self._waits.hold = Hold(
            self._seat.clock, self.id, learns=learns
        )
        return await hold.recall(work), hold.held

    # -- what is said to it

    async def attend(self) -> None:
        """Hear what is said to the job, and mind its times, for as long as the owner holds it.

        Raises:
            LeaseLost: somebody else owns it by now.
        """
        self._attention.rearm()
        forget = self._seat.policy.on_change(lambda _: self._attention.rearm())
        try:
            await self._attention.mind()
        finally:
            forget()

    def look(self) -> None:
        """Something was said to the job."""
        self._attention.look()

    @property
    def cancelled(self) -> Cancelled | None:
        """Why the job is to end, once somebody has asked for it."""
        return self._steps.cancelled

    async def cancelled_meanwhile(self) -> Cancelled | None:
        """Why the job is to end, if that is journaled by now: whatever the caller journals next, before it waits for anything
        else, is written knowing of it."""
        await self._journal.flush()
        self._heard()
        return self.cancelled

    async def rest(self) -> bool:
        """Wait until the workflow has come to a halt at what it waits for, and see to it that the server minds its times;
        False: it went on meanwhile.

        Raises:
            Transient: the store is out of reach. LeaseLost.
        """
        moves = await self._stillness.settled()
        await self._journal.flush()  # whose entry is on its way goes on once it is there
        await self._branch_times.keep()
        await self._waits.set_timers()
        self._events = self._journal.state.events
        return self._stillness.unmoved(moves) and not self._owed

    def farewell(self) -> Event:
        """How an owner lets go of the job, once it has come to a halt and nothing more can be said to it here."""
        if self._owed or self._journal.state.events != self._events:
            return OwnerReleased(reason="something happened at the last moment")
        if self._journal.state.pause is not None:
            return Paused()
        decision = self._waits.decision
        return Suspended() if decision is None else Parked(key=decision.key, reason=why(decision))

    @property
    def _owed(self) -> bool:
        """Whether there is an answer that the workflow has not been given, or what it waits for is allowed by now: on a slow link
        that is not journaled yet when all else is at rest, and whoever comes next would let go of the job just as soon."""
        return self._waits.answered or bool(self._gate.lifted(self._journal.state))

    def _heard(self) -> None:
        """Something was journaled that may change what is to be done."""
        state = self._journal.state
        if state.cancel is not None and self.cancelled is None:
            error = Cancelled(because(f"job {self.id} is cancelled", state.cancel.by, state.cancel.reason))
            self._steps.cancel(error)
            self._waits.cancel(error)
        self._stillness.interrupt((state.pause is not None and state.pause.now) or stands_still(state))
        if state.pause is None:
            self._steps.resume()
        self._waits.heard()

    def _decided(self, state: JobState) -> tuple[Event, ...]:
        """What operators' decisions make of it."""
        return self._gate.lifted(state) + self._gate.stopped(state)

    def _let_pass(self, divergence: Divergence) -> None:
        self._seat.telemetry.emit(
            "job.differs", level="warning", job=self.id, workflow=self._workflow.name, correlation=self._job.correlation,
            step=divergence.key, message=divergence.message,
        )  # fmt: skip

    def _began(self) -> float:
        claims: list[Claim] = self._journal.state.claims
        return claims[0].at if claims else 0.0
