"""`Run`: one owner's running of one job; what a workflow sees as its `Job`."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from mesh.actors.contract import encode_payload
from mesh.actors.doing import StepWork, being_done
from mesh.jobs import gathering, local
from mesh.jobs.approvals import action_digest
from mesh.jobs.attention import Attention
from mesh.jobs.branches import Branch
from mesh.jobs.calling import Calling
from mesh.jobs.calls import CallTerms, Contractor
from mesh.jobs.children import Children, ChildTerms, tell_parent
from mesh.jobs.course import Course
from mesh.jobs.divergence import Divergence
from mesh.jobs.doubts import Doubt, Doubts, OnDoubt, Reconcile
from mesh.jobs.hold import Hold
from mesh.jobs.inbox import Inbox
from mesh.jobs.journal import Journal
from mesh.jobs.limits import Limits
from mesh.jobs.mapping import AT_ONCE, Key, branches_of, name_of
from mesh.jobs.performing import Performing
from mesh.jobs.saga import Saga
from mesh.jobs.scope import Scope, check_key, current
from mesh.jobs.seat import Seat
from mesh.jobs.steps import Attempt, Outcome, Step, Steps
from mesh.jobs.stillness import Stillness
from mesh.jobs.timers import Timers
from mesh.jobs.undo import Compensation, Undo, undo_of
from mesh.jobs.undoing import Undoing
from mesh.jobs.values import Values
from mesh.jobs.waits import Waits
from mesh.jobs.workflow import Approval, Job, OnMissing, Risk, Workflow
from mesh.protocols.acts import Mode
from mesh.protocols.artifacts import Artifact, Confidence, Evidence, Provenance
from mesh.protocols.constraints import Constraints, Effect, Usage
from mesh.protocols.errors import (
    Cancelled,
    DeadlineExceeded,
    Denied,
    JournalCorrupt,
    StepMisused,
    WaitExpired,
)
from mesh.protocols.job_events import (
    ArtifactPut,
    Compensated,
    Event,
    Failed,
    OwnerReleased,
    Parked,
    PatchMarker,
    Paused,
    Progressed,
    Submitted,
    Suspended,
    Value,
    WaitKind,
    WaitOpened,
    WaitResolved,
)
from mesh.protocols.job_events import Cancelled as CancelledEvent
from mesh.protocols.job_state import Claim, JobState
from mesh.protocols.references import LIMIT
from mesh.protocols.subjects import check_event_type
from mesh.protocols.submission import digest_of
from mesh.resilience.deadline import Deadline

T = TypeVar("T")


class Run(Job):
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
        self._values = values
        self._submitted: Submitted = journal.state.submitted
        self._stillness = Stillness(seat.clock)
        self.course = Course(journal.state, workflow.on_change, self._let_pass)
        self._steps = Steps(seat, journal, values, self._stillness, self.course, self.correlation)
        self._attention = Attention(journal, inbox, seat.clock, self._heard)
        self._waits = Waits(journal, timers, self._stillness, self.course, opened=self._attention.rearm)
        self._children = Children(seat, journal, self._waits, self._stillness, used=self._steps.uses)
        self._performing = Performing(journal, self._steps, self._waits, Doubts(seat, journal, values, self._waits))
        self._saga = Saga(seat, journal, self._waits)
        self._hold: Hold | None = None
        self._limits = Limits(seat.clock, journal, self._submitted, self._steps)
        self._calling = Calling(seat, journal, contractor, self._limits, self._submitted, workflow.name)
        self._notes_before = journal.state.notes
        self._notes = 0
        self._answers = 0
        self._heard()

    async def main(self) -> msgspec.Raw:
        """Run the workflow from the top; its result as JSON.

        Raises:
            Exception: whatever it raised. BadPayload · BadResult: what went in or came out does not fit its types.
            DeadlineExceeded: the job's own deadline.
        """
        result = await self._limits.enforce(f"job {self.id}", self._body())
        if self.cancelled is None:
            self.course.over("")
        return self._workflow.output.encode(result)

    async def _body(self) -> Any:
        current.set(Scope(self.id, "", self._began(), self.course.ahead))
        arguments = self._workflow.arguments(await self._values.load(self._submitted.input))
        return await self._workflow.function(self, **arguments)

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
        self.course = Course(JobState(), "warn", self._let_pass)
        self._steps.shield(self.course)
        self._waits.shield(self.course)
        self._limits.shield()

    async def _recall(self) -> None:
        """Learn how the steps are undone that this run has not come to."""
        with self._stillness.working():
            await self.retrace(self._body())
        self._hold = self._performing.hold = self._waits.hold = None

    async def retrace(self, work: Coroutine[Any, Any, Any]) -> tuple[bool, list[str]]:
        """Do the work, which runs the workflow, as far as the journal goes: whether that was to its end, and the keys that it
        came to and the journal does not have."""
        hold = self._hold = self._performing.hold = self._waits.hold = Hold(self._seat.clock, self.id)
        return await hold.recall(work), hold.held

    # -- what is said to it

    async def attend(self) -> None:
        """Hear what is said to the job, and mind its times, for as long as the owner holds it.

        Raises:
            LeaseLost: somebody else owns it by now.
        """
        await self._attention.mind()

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
            Transient: the store is out of reach.
        """
        moves = await self._stillness.settled()
        await self._waits.set_timers()
        self._answers = self._waits.answers
        return self._stillness.unmoved(moves) and not self._waits.answered

    def farewell(self) -> Event:
        """How an owner lets go of the job, once it has come to a halt and nothing more can be said to it here."""
        if self._waits.answered or self._waits.answers != self._answers:
            return OwnerReleased(reason="an answer came at the last moment")
        if self._journal.state.pause is not None:
            return Paused()
        decision = self._waits.decision
        return Suspended() if decision is None else Parked(key=decision.key, reason=why(decision))

    def _heard(self) -> None:
        """Something was journaled that may change what is to be done."""
        state = self._journal.state
        if state.cancel is not None and self.cancelled is None:
            error = Cancelled(_because(f"job {self.id} is cancelled", state.cancel.by, state.cancel.reason))
            self._steps.cancel(error)
            self._waits.cancel(error)
        self._stillness.interrupt(state.pause is not None and state.pause.now)
        if state.pause is None:
            self._steps.resume()
        self._waits.heard()

    # -- where we are

    @property
    def id(self) -> str:
        """The job's id."""
        return self._journal.state.job

    @property
    def tenant(self) -> str:
        """On whose account it runs."""
        return self._journal.tenant

    @property
    def correlation(self) -> str:
        """Shared by everything the job causes."""
        return self._submitted.correlation or self.id

    @property
    def constraints(self) -> Constraints:
        """What the submitter demands, the budget less what has been used so far."""
        return self._limits.constraints

    @property
    def usage(self) -> Usage:
        """What the steps have used so far."""
        return self._steps.used

    @property
    def deadline(self) -> Deadline | None:
        """When the submitter stops waiting."""
        return self._limits.deadline

    # -- do something

    def call(
        self,
        capability: str,
        payload: Any = None,
        *,
        returns: Any = Any,
        key: str | None = None,
        timeout: float | None = None,
        labels: Mapping[str, str] | None = None,
        effect: Effect | None = None,
        mode: Mode = "standing",
        constraints: Constraints | None = None,
        compensate: Compensation | None = None,
        on_doubt: OnDoubt = "park",
        reconcile: Reconcile | None = None,
    ) -> Branch[Any]:
        """A step that an agent does, by auction."""
        contract = local.contract_of(returns)
        undo, doubt = undo_of(compensate), Doubt(contract, on_doubt, reconcile)
        terms = CallTerms(capability, encode_payload(payload), timeout, dict(labels or {}), effect, mode, constraints)

        async def begin() -> Any:
            declared = self._seat.declared(self._calling.offered(capability))
            actual = effect or (declared.effect if declared else "costly")
            raw = await self._perform(
                key, capability, "call", terms.input, actual,
                lambda step, attempt: self._calling.call(terms, step, attempt), doubt, undo,
            )  # fmt: skip
            return contract.decode(raw)

        return Branch(begin, key=key, name=capability)

    def step(
        self,
        key: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        effect: Effect = "pure",
        timeout: float | None = None,
        compensate: Compensation | None = None,
        on_doubt: OnDoubt = "park",
        reconcile: Reconcile | None = None,
    ) -> Branch[Any]:
        """A step that this process does itself."""
        contract = local.result_contract(fn)
        undo, doubt = undo_of(compensate), Doubt(contract, on_doubt, reconcile)
        name = getattr(fn, "__qualname__", type(fn).__name__)
        given = encode_payload(list(args))

        async def work(step: Step, attempt: Attempt) -> Outcome:
            self._calling.must_be_allowed(step)
            if effect != "pure":
                await attempt.start()
            deadline = self._limits.deadline if timeout is None else self._limits.within(timeout)
            with being_done(StepWork(f"{self.id}/{step.key}", self.tenant, self.correlation, self._seat.keeping)):
                return await local.run(fn, args, contract, deadline, self._seat.clock, f"step {step.key}")

        async def begin() -> Any:
            return contract.decode(await self._perform(key, name, "local", given, effect, work, doubt, undo))

        return Branch(begin, key=key, name=name)

    def branch(self, key: str, work: Coroutine[Any, Any, T], *, timeout: float | None = None) -> Branch[T]:
        """Several steps as one branch."""

        async def begin() -> T:
            outer = current.get()
            whole = outer.begin(key, "branch")
            scope = outer.below(key)
            token = current.set(scope)
            try:
                result = await self._bounded(scope, whole, work, timeout)
                self.course.over(scope.path)
                return result
            except BaseException:
                self.course.ahead.pass_over(scope.path)
                raise
            finally:
                work.close()
                current.reset(token)
                outer.saw(scope.now)
                outer.end(whole)

        return Branch(begin, key=key, name="branch")

    async def gather(
        self, *branches: Branch[Any], need: int | None = None, on_missing: OnMissing = "mark"
    ) -> list[Any]:
        """Run branches at once; what fails is marked."""
        gathering.check_branches(branches)
        if not branches:
            return []
        path = current.get().path
        try:
            results = await gathering.run_all(branches, raise_first=on_missing == "raise")
        except BaseException:
            for each in branches:
                self.course.ahead.give_up(path, str(each.key))
            raise
        return gathering.marked(branches, results, need, drop=on_missing == "drop")

    async def map(
        self,
        work: str | Callable[..., Any],
        items: Iterable[Any],
        *,
        key: Key | None = None,
        at_once: int = AT_ONCE,
        need: int | None = None,
        on_missing: OnMissing = "mark",
        returns: Any = Any,
        timeout: float | None = None,
        effect: Effect | None = None,
        compensate: Compensation | None = None,
    ) -> list[Any]:
        """A step for each item."""
        limits: dict[str, Any] = {"timeout": timeout, "compensate": compensate}

        def begin(name: str, item: Any) -> Branch[Any]:
            if isinstance(work, str):
                return self.call(work, item, key=name, returns=returns, effect=effect, **limits)
            return self.step(name, work, item, effect=effect or "pure", **limits)

        outer = current.get()
        whole = outer.begin(None, name_of(work))
        scope = outer.below(whole[len(outer.path) :])
        token = current.set(scope)
        try:
            results = await self.gather(*branches_of(items, key, at_once, begin), need=need, on_missing=on_missing)
            self.course.over(scope.path)
            return results
        except BaseException:
            self.course.ahead.pass_over(scope.path)
            raise
        finally:
            current.reset(token)
            outer.saw(scope.now)
            outer.end(whole)

    # -- wait

    def sleep(self, seconds: float, *, key: str | None = None) -> Branch[None]:
        """A wait for a time."""
        if not 0 <= seconds < float("inf"):
            raise StepMisused(f"job.sleep: {seconds!r} is no time to wait: write seconds from 0")

        async def begin() -> None:
            await self._wait(key, "timer", "sleep", digest_of(encode_payload(seconds)), seconds)

        return Branch(begin, key=key, name="sleep")

    def wait(
        self, signal: str, *, returns: Any = Any, key: str | None = None, timeout: float | None = None
    ) -> Branch[Any]:
        """A wait for a signal."""
        contract = local.contract_of(returns)
        check_event_type(signal)

        async def begin() -> Any:
            answer = await self._wait(key, "signal", signal, "", timeout)
            _raise_expired(answer, f"no signal {signal!r} came within {timeout} s")
            return contract.decode(await self._values.load(answer.value or Value()))

        return Branch(begin, key=key, name=signal)

    def approval(
        self,
        action: str,
        about: Any = None,
        *,
        risk: Risk = "high",
        key: str | None = None,
        timeout: float | None = None,
    ) -> Branch[Approval]:
        """A wait for a person's yes."""
        check_event_type(action)
        raw = encode_payload(about)
        digest = action_digest(action, raw)

        async def begin() -> Approval:
            kept = await self._values.keep(raw, f"action {action}")
            answer = await self._wait(key, "approval", action, digest, timeout, about=kept, risk=risk)
            _raise_expired(answer, f"nobody answered about {action!r} within {timeout} s")
            if answer.how == "denied":
                raise Denied(
                    _because(f"{action!r} was denied", answer.by, answer.reason),
                    detail={"by": answer.by, "reason": answer.reason},
                )
            return Approval(by=answer.by, reason=answer.reason, at=answer.at)

        return Branch(begin, key=key, name=action)

    def child(
        self,
        workflow: str | Workflow[Any],
        payload: Any = None,
        *,
        returns: Any = Any,
        key: str | None = None,
        timeout: float | None = None,
        constraints: Constraints | None = None,
    ) -> Branch[Any]:
        """A job of its own, and what comes of it."""
        name = workflow if isinstance(workflow, str) else workflow.name
        contract = workflow.output if not isinstance(workflow, str) and returns is Any else local.contract_of(returns)
        raw = encode_payload(payload)

        async def begin() -> Any:
            scope = current.get()
            whole = scope.begin(key, name)
            terms = ChildTerms(
                name, raw, self._limits.narrowed(whole, constraints or Constraints(priority=0)), timeout,
                self._limits.left, self.correlation, self._submitted.trace,
            )  # fmt: skip
            try:
                return contract.decode(await self._values.load(await self._children.result(scope, whole, terms)))
            finally:
                scope.end(whole)

        return Branch(begin, key=key, name=name)

    async def _wait(
        self, key: str | None, kind: WaitKind, name: str, digest: str, seconds: float | None, **shown: Any
    ) -> WaitResolved:
        scope = current.get()
        whole = scope.begin(key, name)
        until = None if seconds is None else self._journal.job_time() + seconds
        try:
            return await self._waits.wait(
                scope, WaitOpened(key=whole, kind=kind, name=name, digest=digest, until=until, **shown)
            )
        finally:
            scope.end(whole)

    # -- what is left behind

    async def put_artifact(
        self,
        kind: str,
        content: Any = None,
        *,
        key: str | None = None,
        evidence: tuple[Evidence, ...] = (),
        confidence: Confidence | None = None,
        inputs: tuple[str, ...] = (),
        ttl: float | None = None,
    ) -> Artifact:
        """Add an artifact to the job. Again: the same artifact, put once."""
        scope = current.get()
        whole = scope.begin(key, kind)
        try:
            artifact_id = f"{self.id}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}"
            known = self._journal.state.artifacts.get(artifact_id)
            if known is not None:
                return known
            if self._hold is not None:
                await self._hold.here(whole)
            raw = encode_payload(content)
            large = len(bytes(raw)) > LIMIT
            artifact = Artifact(
                id=artifact_id,
                kind=kind,
                provenance=Provenance(
                    agent=self._workflow.name,
                    version=str(self._workflow.version),
                    job=self.id,
                    step=whole,
                    inputs=inputs,
                ),
                content=None if large else msgspec.json.decode(raw),
                content_ref=await self._values.put(bytes(raw), f"artifact {kind}") if large else "",
                evidence=evidence,
                confidence=confidence or Confidence(value=0.0),
                made_at=self.now(),
                ttl=ttl,
            )
            await self._journal.append(ArtifactPut(artifact=artifact))
            return artifact
        finally:
            scope.end(whole)

    def artifact(self, artifact_id: str) -> Artifact:
        """One of the job's artifacts."""
        return self._journal.state.artifacts[artifact_id]

    async def put_object(self, data: bytes) -> str:
        """Keep bytes in the object store; gives their digest."""
        return await self._values.put(data)

    async def get_object(self, digest: str) -> bytes:
        """The bytes behind a digest."""
        return await self._values.get(digest)

    # -- the same in every run

    def now(self) -> float:
        """Unix seconds, as the journal has them."""
        return current.get().now

    @property
    def random(self) -> random.Random:
        """Chance, seeded by the job and the branch."""
        return current.get().random

    def uuid(self) -> str:
        """The next id of this job and branch."""
        return current.get().uuid()

    def patched(self, name: str) -> bool:
        """Whether the patch applies to this job, here; journaled when it does for the first time."""
        whole = current.get().path + check_key(name)
        if self._hold is not None:
            return whole in self._journal.state.patches
        applies = self.course.patched(whole)
        if applies is None:
            self._journal.note(PatchMarker(name=whole))
        return applies is not False

    # -- tell what happens

    def progress(self, text: str) -> None:
        """Say how far the job is; what was said before is not said again in a replay."""
        self._notes += self._hold is None
        if self._notes > self._notes_before and self._hold is None:
            self._journal.note(Progressed(text=str(text)[:500]))

    def log(self, message: str, /, *, level: str = "info", **fields: Any) -> None:
        """One line in the log; nothing while the job is replayed."""
        if not self.course.ahead and self._hold is None:
            about = {"job": self.id, "step": current.get().path.rstrip("/"), "correlation": self.correlation}
            self._seat.telemetry.emit("job.log", message=message, level=level, **(about | fields))

    # -- within

    async def _perform(
        self,
        key: str | None,
        name: str,
        kind: Any,
        given: msgspec.Raw,
        effect: Effect,
        work: Any,
        doubt: Doubt,
        undo: Undo | None,
    ) -> msgspec.Raw:
        scope = current.get()
        whole = scope.begin(key, name)
        step = Step(whole, name, kind, given, effect)
        if undo is not None:
            self._saga.offer(whole, undo, doubt.contract)
        try:
            return await self._performing.perform(scope, step, lambda attempt: work(attempt.step, attempt), doubt)
        finally:
            scope.end(whole)

    def _let_pass(self, divergence: Divergence) -> None:
        self._seat.telemetry.emit(
            "job.differs", level="warning", job=self.id, workflow=self._workflow.name, correlation=self.correlation,
            step=divergence.key, message=divergence.message,
        )  # fmt: skip

    async def _bounded(self, scope: Scope, whole: str, work: Coroutine[Any, Any, T], timeout: float | None) -> T:
        """A branch within its time; that it ran out of it is journaled, because a replay might be faster."""
        before = self._steps.recorded_failure(scope, whole)
        if before is not None:
            raise before
        deadline = None if timeout is None else Deadline.after(self._seat.clock, timeout)
        if deadline is None:
            return await work
        try:
            async with deadline.enforce(f"branch {whole}"):
                return await work
        except DeadlineExceeded as error:
            if self._hold is not None:
                await self._hold.here(whole)
            await self._steps.record_failure(scope, whole, error)
            raise

    def _began(self) -> float:
        claims: list[Claim] = self._journal.state.claims
        return claims[0].at if claims else 0.0


def why(decision: WaitOpened) -> str:
    """What a person must decide, in words."""
    about = decision.about
    told = msgspec.json.decode(about.inline) if about is not None and about.ref is None else None
    return told if isinstance(told, str) else f"{decision.name}: a person must decide"


def _because(what: str, by: str, reason: str) -> str:
    return what + (f" by {by}" if by else "") + (f": {reason}" if reason else "")


def _raise_expired(answer: WaitResolved, message: str) -> None:
    if answer.how == "expired":
        raise WaitExpired(message)
