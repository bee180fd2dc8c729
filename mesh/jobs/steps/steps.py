"""`Steps`: a keyed step is done once. What was journaled before is recalled; what is new is journaled, done, and journaled.

The order is the promise: *started* is stored before an effect can begin, the result before the workflow sees it. A step
that a lost owner had started is run again, or is in doubt, by its effect class. One that fails goes on as its plan says
(`onward`), and that is journaled, too.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from mesh.jobs.journals.journal import Journal
from mesh.jobs.journals.values import Values
from mesh.jobs.owning.seat import Seat
from mesh.jobs.replay.course import Course, again
from mesh.jobs.replay.divergence import step_differs
from mesh.jobs.running.scope import Scope
from mesh.jobs.running.stillness import Stillness
from mesh.jobs.steps.attempt import Attempt, Work
from mesh.jobs.steps.onward import NOTHING_PLANNED, GoesOn, Next, Plan, Stance, first_fault, stance_of
from mesh.jobs.steps.step import Later, Step, Stopped
from mesh.protocols.envelope import NULL
from mesh.protocols.errors import Cancelled, HandlerFailed, InDoubt, Killed, MeshError, from_fault
from mesh.protocols.job_events import (
    StepFailed,
    StepInDoubt,
    StepRetried,
    StepSucceeded,
    WaitResolved,
)
from mesh.protocols.job_step_state import NO_USAGE, StepState
from mesh.protocols.submission import digest_of

T = TypeVar("T")

LEASE_PATIENCE = 60.0
"""Seconds that an owner waits for the registry to acknowledge it before it gives a job up."""


class Steps:
    """The steps of one run."""

    def __init__(
        self, seat: Seat, journal: Journal, values: Values, stillness: Stillness, course: Course, correlation: str
    ) -> None:
        self._seat = seat
        self.course = course
        self._journal = journal
        self._values = values
        self._stillness = stillness
        self._correlation = correlation
        self._under_way: set[asyncio.Task[Any]] = set()
        self._resumed = asyncio.Event()
        self._shielded = False
        self.cancelled: Cancelled | None = None
        self.used = NO_USAGE
        self.degraded: dict[str, str] = {}

    def find(self, step: Step) -> tuple[Step, StepState | None]:
        """What the journal knows of it; the step itself is another where it has changed and is to be done again.

        Raises:
            ReplayDiverged: it is not what it was, and that must not be. LeaseLost.
        """
        self._journal.check()
        self.course.check()
        known = self._journal.state.steps.get(step.key)
        if known is not None and self._changed(known, step):
            return self._again(known, step)
        return step, known

    async def do(
        self,
        scope: Scope,
        step: Step,
        work: Work,
        known: StepState | None,
        *,
        anew: bool = False,
        plan: Plan = NOTHING_PLANNED,
    ) -> msgspec.Raw:
        """Do it now that it may begin, and journal its result; what was begun before is `known`, and is gone on with, unless it is
        to be begun `anew`.

        Raises:
            MeshError: it failed, and that is journaled. InDoubt: likewise, but it has not ended. Later: it has not begun.
            GoesOn: this attempt failed, and its plan has another one.
        """
        with self._stillness.working():
            return await self._do(scope, step, work, known, anew, plan)

    async def may_begin(self, key: str) -> None:
        """Wait until something new may begin: not while the job is to be paused, nor while the registry has not acknowledged this
        process for half its lease.

        Raises:
            Cancelled: the job is. LeaseLost.
        """
        while await self._paused() or await self._unlisted():
            self._journal.check()
        if self.cancelled is not None:
            raise Cancelled(f"step {key} is not begun: {self.cancelled.message}")
        self._journal.check()

    async def _paused(self) -> bool:
        """Whether it was, and is not any more."""
        waited = False
        while self._journal.state.pause is not None and self.cancelled is None and not self._shielded:
            waited = True
            self._resumed.clear()
            with self._stillness.waiting():
                await self._resumed.wait()
            self._journal.check()
        return waited

    async def _unlisted(self) -> bool:
        """Whether it was, and is not any more."""
        if self._seat.holds_lease() or self.cancelled is not None:
            return False
        give_up = self._seat.clock.monotonic() + LEASE_PATIENCE
        with self._stillness.working():
            while not self._seat.holds_lease() and self.cancelled is None:
                self._journal.check()
                if self._seat.clock.monotonic() >= give_up:
                    self._journal.abandon(f"the registry has not acknowledged this process for {LEASE_PATIENCE:g} s")
                await self._seat.clock.sleep(0.05)
        return True

    async def pause(self, seconds: float) -> None:
        """Keep the job meanwhile.

        Raises:
            Cancelled: the job is.
        """
        with self._stillness.working():
            await self._cancellable("a pause", lambda: self._seat.clock.sleep(seconds))

    def shield(self, course: Course) -> None:
        """From now on steps are done whatever has been said to the job, and the workflow is held to nothing: what it had done
        is being undone."""
        self.cancelled, self._shielded, self.course = None, True, course
        self._resumed.set()

    def cancel(self, error: Cancelled) -> None:
        """Stop what is under way, and begin nothing more: each step raises this error. Not what undoes the job's steps."""
        if self._shielded:
            return
        self.cancelled = error
        self._resumed.set()
        for task in self._under_way:
            task.cancel()

    def resume(self) -> None:
        """What was held because the job was to be paused goes on."""
        self._resumed.set()

    def recorded_failure(self, scope: Scope, key: str) -> MeshError | None:
        """The error that a branch ended with before, if it did."""
        known = self._journal.state.steps.get(key)
        if known is None or known.fault is None:
            return None
        self._saw(scope, key)
        return from_fault(known.fault)

    async def record_failure(self, scope: Scope, key: str, error: MeshError) -> None:
        """Journal that a whole branch failed, so that it fails in every replay."""
        await self._journal.append(StepFailed(key=key, fault=error.fault(), name="branch", kind="branch"))
        self._saw(scope, key)

    def uses(self, key: str, answer: WaitResolved) -> None:
        """A child has used so much, and its result may be less than was asked for."""
        self.used += answer.usage
        if answer.degraded:
            self.degraded[key] = answer.degraded

    def _saw(self, scope: Scope, key: str) -> None:
        """The workflow learns of the outcome now: its clock and its usage move on, the same way in every run."""
        step = self._journal.state.steps[key]
        scope.saw(step.ended_at)
        self.used += step.usage
        if step.degraded:
            self.degraded[key] = step.degraded

    async def _do(
        self, scope: Scope, step: Step, work: Work, known: StepState | None, anew: bool, plan: Plan
    ) -> msgspec.Raw:
        number = (known.attempt if known else step.before) + 1
        resume = known.award if known and not anew else None
        attempt = Attempt(self._journal, self._seat, _as_it_stands(step, known), number, resume, known)
        began = self._seat.clock.monotonic()
        self._tell("step.began", step, attempt=number)
        try:
            if attempt.resume is not None:
                await attempt.take_up(attempt.resume)
            outcome = await self._cancellable(f"step {step.key}", lambda: work(attempt))
            output = await self._values.keep(outcome.content, f"result of step {step.key}")
        except Later:
            raise
        except MeshError as error:
            if isinstance(error, Killed) and self._may_be_repeated(attempt, error):
                raise Stopped(error) from None
            failure = await self._failed(scope, step, attempt, error, began, plan)
            raise failure from (None if failure is error else error)
        except Exception as error:
            failure = handler_failed(error, step.name)
            raise await self._failed(scope, step, attempt, failure, began, plan) from error
        await self._journal.append(
            StepSucceeded(
                key=step.key,
                output=output,
                usage=outcome.usage,
                stamps=outcome.stamps,
                by=outcome.by or attempt.by,
                source=outcome.source,
                degraded=outcome.degraded,
                **({} if attempt.started or attempt.tries else step.identity),
            )
        )
        self._saw(scope, step.key)
        self._tell(
            "step.ended",
            step,
            exit_status="success",
            latency=self._seat.clock.monotonic() - began,
            by=outcome.by or attempt.by,
        )
        return outcome.content

    def _may_be_repeated(self, attempt: Attempt, error: MeshError) -> bool:
        """Whether it may be done again: not if it was under way and may be done only once, as its award says, whatever was known
        when it began."""
        self._journal.check()
        begun = attempt.started and error.detail.get("begun") is not False
        return not (begun and attempt.at_most_once)

    async def _cancellable(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """The work, which a cancelled job stops, or does not begin. As `asyncio.timeout` does it: a cancellation from outside goes
        through, and one that nobody asked for is the work's own failure."""
        if self.cancelled is not None:
            raise Cancelled(f"{what} is not begun: {self.cancelled.message}")
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        self._under_way.add(task)
        try:
            return await work()
        except asyncio.CancelledError as error:
            if task.cancelling() == before:
                raise handler_failed(error, what) from error
            if self.cancelled is None or task.uncancel() > before:
                raise
            raise Cancelled(f"{what}: {self.cancelled.message}") from None
        finally:
            self._under_way.discard(task)

    async def _failed(
        self,
        scope: Scope,
        step: Step,
        attempt: Attempt,
        error: MeshError,
        began: float,
        plan: Plan,
    ) -> MeshError:
        """Journal the failure, unless the job is not ours any more: then that is raised. What the step fails with is given: where
        nothing could stand in for its result, why it had to.

        Raises:
            GoesOn: its plan has another attempt.
        """
        self._journal.check()
        if isinstance(error, InDoubt) and attempt.started:
            await self._journal.append(StepInDoubt(key=step.key, reason=error.message))
            return error
        identity = {} if attempt.started or attempt.tries else step.identity
        if not self._may_be_repeated(attempt, error):
            plan = plan.without_repeats()
        following = None if self.cancelled else plan.after(attempt.tries, error, self._seat.ids.random)
        if following is not None:
            await self._go_on(step, attempt, error, following, identity)
            raise GoesOn
        by, stamps = attempt.failed_by(error.origin)
        if attempt.stance.fallback:
            error = _instead_of(error, first_fault(attempt.tries) or error)
        skipped = plan.skips(error)
        await self._journal.append(
            StepFailed(key=step.key, fault=error.fault(), stamps=stamps, by=by, skipped=skipped, **identity)
        )
        self._saw(scope, step.key)
        status = "semantic_failure" if error.error_class == "semantic" else "exception"
        latency = self._seat.clock.monotonic() - began
        self._tell("step.ended", step, exit_status=status, error=error.code, message=error.message, latency=latency)
        return error

    async def _go_on(
        self, step: Step, attempt: Attempt, error: MeshError, following: Next, identity: dict[str, Any]
    ) -> None:
        """Journal that the attempt failed, and how the step goes on: whoever owns the job then does that."""
        until = self._journal.job_time() + following.seconds if following.seconds else 0.0
        await self._journal.append(
            StepRetried(
                key=step.key,
                attempt=attempt.number,
                fault=error.fault(),
                onward=following.onward,
                number=following.number,
                what=following.what,
                until=until,
                **identity,
            )
        )
        self._tell(
            "step.retried", step, attempt=attempt.number, error=error.code, message=error.message,
            onward=following.onward, what=following.what,
        )  # fmt: skip

    async def recall(self, scope: Scope, known: StepState) -> msgspec.Raw:
        """The outcome of a step that has ended.

        Raises:
            MeshError: it failed, and was not skipped.
        """
        self._saw(scope, known.key)
        if known.skipped:
            return NULL
        if known.fault is not None:
            raise from_fault(known.fault)
        return NULL if known.output is None else await self._values.load(known.output)

    def _changed(self, known: StepState, step: Step) -> bool:
        """Whether it is to be done again because it is not what it was.

        Raises:
            ReplayDiverged: it is not what it was, and that must not be.
        """
        divergence = step_differs(known, step.name, step.kind, step.input)
        if divergence is None:
            return False
        if self.course.on_change != "rerun":
            self.course.differs(divergence)
            return False
        if "at_most_once" in (known.effect, step.effect):
            self.course.diverge(divergence)
        return True

    def _again(self, known: StepState, step: Step) -> tuple[Step, StepState | None]:
        """The step under a key of its own: what was done before stays done, and no target takes the one for the other."""
        suffix = digest_of(msgspec.json.encode((step.name, step.kind, digest_of(step.input)))).partition(":")[2]
        changed = replace(step, key=again(known.key, suffix), before=known.attempt)
        self._tell("step.again", changed, attempt=known.attempt + 1)
        return changed, self._journal.state.steps.get(changed.key)

    def _tell(self, event: str, step: Step, **fields: Any) -> None:
        state = self._journal.state
        self._seat.telemetry.emit(
            event, job=state.job, epoch=self._journal.epoch, step=step.key, command=step.name, kind=step.kind,
            correlation=self._correlation, **fields,
        )  # fmt: skip


def _as_it_stands(step: Step, known: StepState | None) -> Step:
    """The step as it is done now: with something else in it, it is another one to whoever does it."""
    stance = stance_of(known.tries) if known else Stance()
    if stance.fallback:
        return replace(step, target=f"{step.key}/~fallback#{stance.fallback}")
    return replace(step, target=f"{step.key}/~vary#{stance.variation}") if stance.variation else step


def _instead_of(last: MeshError, first: MeshError) -> MeshError:
    """Why the step failed, which says in its detail how what should have stood in for its result did."""
    first.detail.setdefault("instead", f"{last.code}: {last.message}")
    return first


def handler_failed(error: BaseException, name: str) -> HandlerFailed:
    """What somebody's code raised, as an error that can be journaled."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    kind = type(error).__name__
    return HandlerFailed(f"{name} raised {kind}: {error}", detail={"exception": kind, "where": where})
