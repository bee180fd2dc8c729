"""`Children`: jobs that a job begins and waits for. Each is a job like any other, with a key that follows from its parent's id
and the wait's key, so that however often it is handed in it is one job.

Before a child writes down that it is over it says so in its parent's inbox; whoever hears that looks into the child's journal
for how it ended (`inbox`). What is said to the parent, cancel, pause, resume, is said to its children, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from mesh.jobs.journals.journal import Journal
from mesh.jobs.journals.journals import Journals
from mesh.jobs.outside.submission import submit
from mesh.jobs.owning.seat import Seat
from mesh.jobs.running.scope import Scope
from mesh.jobs.running.stillness import Stillness
from mesh.jobs.steps.gate import Gate
from mesh.jobs.waiting.waits import Waits
from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import DeadlineExceeded, Killed, MeshError, Transient, from_fault
from mesh.protocols.job_events import Parent, Value, WaitOpened, WaitResolved
from mesh.protocols.job_inbox import Cancel, ChildEnded
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Clock, Store
from mesh.protocols.subjects import Subjects
from mesh.protocols.submission import digest_of, job_id_for_key

T = TypeVar("T")

PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two attempts at handing a child in, or at telling somebody something, while the server is away."""


@dataclass(frozen=True, slots=True)
class ChildTerms:
    """A `job.child` as it was written. `seconds` is its time limit, `left` what its parent has; None for none."""

    workflow: str
    input: msgspec.Raw
    constraints: Constraints
    seconds: float | None
    left: float | None
    correlation: str
    trace: str


class Children:
    """Those of one run. `used` hears of each answer when the workflow comes to it: what was used, and whether it is degraded."""

    def __init__(
        self,
        seat: Seat,
        journal: Journal,
        waits: Waits,
        stillness: Stillness,
        gate: Gate,
        *,
        used: Callable[[str, WaitResolved], None],
    ) -> None:
        self._seat = seat
        self._journal = journal
        self._waits = waits
        self._stillness = stillness
        self._gate = gate
        self._used = used
        self._journals = Journals(seat.store, seat.subjects)

    async def result(self, scope: Scope, whole: str, terms: ChildTerms) -> Value:
        """What the child came to, once it is over.

        Raises:
            MeshError: what the child failed with. DeadlineExceeded: it is not over in time. What is wrong with its terms.
            Cancelled: the parent is.
        """
        key = _key(self._journal.state.job, whole)
        until = None if terms.seconds is None else self._journal.job_time() + terms.seconds
        opened = WaitOpened(
            key=whole,
            kind="child",
            name=terms.workflow,
            digest=digest_of(terms.input),
            until=until,
            child=job_id_for_key(self._journal.tenant, key),
        )
        wait = await self._waits.open(opened)
        while wait.answer is None:
            await self._gate.passes(scope, whole, step_kind="child", workflow=terms.workflow)
            try:
                with self._stillness.working():
                    await self._begin(wait.opened, key, terms)
                break
            except Killed as error:
                await self._gate.refused(scope, whole, error)
        return await self._answer(await self._waits.wait(scope, wait.opened), wait.opened)

    async def stop(self) -> None:
        """The parent's workflow is over: children that nobody waits for any more are cancelled."""
        state = self._journal.state
        for each in state.open_waits:
            if each.opened.kind == "child":
                await self._cancel(each.opened.child, f"its parent, job {state.job}, does not wait for it any more")

    async def _begin(self, opened: WaitOpened, key: str, terms: ChildTerms) -> None:
        """Hand it in, if that was not done before.

        Raises:
            Killed: whoever would take it in says so.
        """
        state, tenant = self._journal.state, self._journal.tenant
        last = await _patiently(self._seat.clock, lambda: self._journals.last(tenant, opened.child))
        if last is not None:
            if last.entry.head.state in TERMINAL:
                await tell(
                    self._seat, Parent(tenant=tenant, job=state.job, wait=opened.key), last.entry.job, again=True
                )
            return
        parent = Parent(tenant=tenant, job=state.job, wait=opened.key)
        limits = [each for each in (self._remaining(opened), terms.left) if each is not None]
        try:
            await _patiently(
                self._seat.clock,
                lambda: submit(
                    self._seat,
                    terms.workflow,
                    terms.input,
                    tenant=tenant,
                    key=key,
                    deadline=max(0.001, min(limits)) if limits else None,
                    constraints=terms.constraints,
                    correlation=terms.correlation,
                    causation=state.job,
                    trace=terms.trace,
                    parent=parent,
                ),
                self._journal.check,
            )
        except Killed:
            raise
        except MeshError as error:
            self._journal.check()
            dropped = WaitResolved(key=opened.key, how="dropped", fault=error.fault())
            await self._journal.decide(lambda: (dropped,) if state.waits[opened.key].answer is None else ())

    def _remaining(self, opened: WaitOpened) -> float | None:
        return None if opened.until is None else opened.until - self._journal.job_time()

    async def _answer(self, answer: WaitResolved, opened: WaitOpened) -> Value:
        self._used(opened.key, answer)
        if answer.how == "expired":
            if self._waits.hold is None:
                with self._stillness.working():
                    await self._cancel(opened.child, "it ran out of time")
            raise DeadlineExceeded(f"the job of {opened.name!r}, {opened.child}, was not over in time")
        if answer.fault is not None:
            raise from_fault(answer.fault)
        return answer.value or Value()

    async def _cancel(self, child: str, reason: str) -> None:
        subject = self._seat.subjects.inbox(self._journal.tenant, child)
        said, by = msgspec.json.encode(Cancel(reason=reason, by=f"job {self._journal.state.job}")), f"{child}.orphan"
        await _patiently(
            self._seat.clock, lambda: self._seat.store.append(subject, said, message_id=by), self._journal.check
        )


class Teller(Protocol):
    """What it takes to tell a parent; a `Seat` is one."""

    @property
    def store(self) -> Store: ...  # noqa: D102

    @property
    def subjects(self) -> Subjects: ...  # noqa: D102

    @property
    def clock(self) -> Clock: ...  # noqa: D102


async def tell_parent(teller: Teller, state: JobState, check: Callable[[], None] = lambda: None) -> None:
    """Say in the parent's inbox, if there is one, that this job is about to be over. Again: its answer is there already."""
    parent = state.submitted.parent if state.submitted else None
    if parent is not None:
        await tell(teller, parent, state.job, check=check)


async def tell(
    teller: Teller, parent: Parent, job: str, *, again: bool = False, check: Callable[[], None] = lambda: None
) -> None:
    """Say in the parent's inbox that its child is over, or will be in a moment."""
    subject = teller.subjects.inbox(parent.tenant, parent.job)
    said = msgspec.json.encode(ChildEnded(key=parent.wait, job=job))
    message_id = f"{job}.ended{'.again' if again else ''}"
    await _patiently(teller.clock, lambda: teller.store.append(subject, said, message_id=message_id), check)


async def _patiently(clock: Clock, work: Callable[[], Awaitable[T]], check: Callable[[], None] = lambda: None) -> T:
    """For as long as the job is ours: nothing goes on before this is done. What is killed is not asked for again and again."""
    pause = PAUSE
    while True:
        check()
        try:
            return await work()
        except Killed:
            raise
        except Transient as error:
            wait = max(pause, error.retry_after or 0.0)
        await clock.sleep(wait)
        pause = min(pause * 2, LONGEST_PAUSE)


def _key(job: str, whole: str) -> str:
    """The key that the child is handed in under: it fits a header however long the wait's is."""
    return f"{job}/{hashlib.sha256(whole.encode()).hexdigest()[:24]}"
