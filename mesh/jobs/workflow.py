"""`@workflow` and `Job`: what a team writes, and what it may do.

    @workflow("publish-review", version=2)
    async def publish_review(job: Job, request: ReviewRequest) -> Review:
        findings = await job.gather(*(job.call(f"review.{kind}", request, key=kind, timeout=20) for kind in KINDS), need=2)
        return await job.call("review.synthesize", findings, returns=Review)

A workflow is a durable function: when its owner dies, another process runs it again from the top, and every step that has
ended returns what it returned before, without being done. Between steps it may only compute: time, chance and identity
come from the job. What a workflow is given is a `run.InHand`.
"""

from __future__ import annotations

import abc
import inspect
import random
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args, overload

import msgspec

from mesh.actors.contract import Contract
from mesh.actors.parameters import Parameters, resolve_hints, where
from mesh.jobs.branches import Branch, Missing
from mesh.jobs.doubts import OnDoubt, Reconcile
from mesh.jobs.mapping import AT_ONCE, Key
from mesh.jobs.undo import Compensation
from mesh.protocols.acts import Mode
from mesh.protocols.artifacts import Artifact, Confidence, Evidence
from mesh.protocols.constraints import Constraints, Effect, Usage
from mesh.protocols.subjects import check_name
from mesh.registry.records import Capability, Schema
from mesh.resilience.deadline import Deadline

T = TypeVar("T")
R = TypeVar("R")

OnMissing = Literal["mark", "drop", "raise"]

OnChange = Literal["strict", "warn", "rerun", "fail"]
"""What becomes of a job whose journal does not fit the code that runs it. `strict`: it is parked, with an alert, until code
that fits is there. `fail`: it fails. `warn`: the journal's outcome is given all the same. `rerun`: a step whose input is
another is done again, beside what it gave before; not where it may be done at most once."""


Risk = Literal["low", "medium", "high"]


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A person's yes: who gave it, why, and when (Unix seconds)."""

    by: str
    reason: str = ""
    at: float = 0.0


class Job(abc.ABC):
    """The surroundings of one run of a workflow. Not to be kept after the workflow has returned."""

    # -- where we are

    @property
    @abc.abstractmethod
    def id(self) -> str:
        """The job's id."""

    @property
    @abc.abstractmethod
    def tenant(self) -> str:
        """On whose account it runs."""

    @property
    @abc.abstractmethod
    def correlation(self) -> str:
        """Shared by everything the job causes."""

    @property
    @abc.abstractmethod
    def constraints(self) -> Constraints:
        """What the submitter demands, the budget less what has been used so far."""

    @property
    @abc.abstractmethod
    def usage(self) -> Usage:
        """What the steps have used so far."""

    @property
    @abc.abstractmethod
    def deadline(self) -> Deadline | None:
        """When the submitter stops waiting; None if it never said so."""

    # -- do something

    @overload
    def call(
        self, capability: str, payload: Any = None, *, returns: type[T], key: str | None = None,
        timeout: float | None = None, labels: Mapping[str, str] | None = None, effect: Effect | None = None,
        mode: Mode = "standing", constraints: Constraints | None = None, compensate: Compensation | None = None,
        on_doubt: OnDoubt = "park", reconcile: Reconcile | None = None,
    ) -> Branch[T]: ...  # fmt: skip
    @overload
    def call(
        self, capability: str, payload: Any = None, *, key: str | None = None,
        timeout: float | None = None, labels: Mapping[str, str] | None = None, effect: Effect | None = None,
        mode: Mode = "standing", constraints: Constraints | None = None, compensate: Compensation | None = None,
        on_doubt: OnDoubt = "park", reconcile: Reconcile | None = None,
    ) -> Branch[Any]: ...  # fmt: skip
    @abc.abstractmethod
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
        """A step that an agent does: whoever wins the auction for the capability. Awaited, it gives the agent's result.

        `key` names the step, and is needed when several run at once; `timeout` is in seconds (else what the capability
        declares); `labels` and `constraints` narrow who may do it; `effect` (else what the capability declares) says what
        happens when the job's owner dies meanwhile.

        Again, after a crash: a step that has ended gives the same result, or raises the same error; one that was started is
        awarded again, unless it is `at_most_once`: then `reconcile` is asked what became of it, and if it cannot tell,
        `on_doubt` says whether a person decides, with the job parked, or the workflow gets `InDoubt`.

        Should the job fail or be cancelled after the step succeeded, `compensate` undoes it: a capability, called with the
        step's result, or a function of the result. The last step is undone first.

        Raises:
            NoBids · AgentLost · DeadlineExceeded · BudgetExceeded: nobody did it. The agent's own typed errors.
            InDoubt: it is `at_most_once`, the owner died while it was under way, and `on_doubt` is "raise".
            ReplayDiverged: the workflow has changed since the job began. LeaseLost: another process has the job.
        """

    @overload
    def step(
        self, key: str, fn: Callable[..., Awaitable[R]], /, *args: Any, effect: Effect = "pure",
        timeout: float | None = None, compensate: Compensation | None = None, on_doubt: OnDoubt = "park",
        reconcile: Reconcile | None = None,
    ) -> Branch[R]: ...  # fmt: skip
    @overload
    def step(
        self, key: str, fn: Callable[..., R], /, *args: Any, effect: Effect = "pure", timeout: float | None = None,
        compensate: Compensation | None = None, on_doubt: OnDoubt = "park", reconcile: Reconcile | None = None,
    ) -> Branch[R]: ...  # fmt: skip
    @abc.abstractmethod
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
        """A step that this process does itself: `fn(*args)`, in a thread if it is a plain function.

        What it returns must be JSON-able, of the type it is annotated with, and is what a replay gives. Arguments and
        result belong to the journal. Effects, time limits, replay, undoing and doubts are as in `call`; a step that is not `pure` is
        journaled before it begins.

        Raises:
            HandlerFailed: `fn` raised something that is no MeshError.
        """

    @abc.abstractmethod
    def branch(self, key: str, work: Coroutine[Any, Any, T], *, timeout: float | None = None) -> Branch[T]:
        """Several steps as one branch of a `gather`: their keys stand below `key`, and `timeout` (seconds) is for all."""

    @abc.abstractmethod
    async def gather(
        self, *branches: Branch[Any], need: int | None = None, on_missing: OnMissing = "mark"
    ) -> list[Any]:
        """Run branches at once, and give their results in the order written, when each has ended.

        A branch that failed or ran out of time is *missing*: in its place stands a `Missing(key, error)`. With
        `on_missing="drop"` it is left out, with `"raise"` its error is raised and the others are cancelled. Each branch
        needs a key of its own.

        Raises:
            BranchesMissing: fewer than `need` succeeded.
            StepMisused: a branch has no key, or two have the same.
        """

    @abc.abstractmethod
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
        """A step for each item, at most `at_once` at any time: a call of the capability `work`, or a step of this process if
        `work` is a function. The results stand in the order of the items; missing ones are treated as in `gather`.

        Each step's key stands below the name of `work`: the item's place, or what `key` makes of the item. Give one where
        items may come or go before a job is over. The rest is as in `call` and `step`.

        Raises:
            BranchesMissing: fewer than `need` succeeded. StepMisused: two items have the same key.
        """

    # -- wait: no process holds the job meanwhile, and whatever restarts, it goes on

    @abc.abstractmethod
    def sleep(self, seconds: float, *, key: str | None = None) -> Branch[None]:
        """Wait so long, by the server's clock."""

    @overload
    def wait(
        self, signal: str, *, returns: type[T], key: str | None = None, timeout: float | None = None
    ) -> Branch[T]: ...
    @overload
    def wait(self, signal: str, *, key: str | None = None, timeout: float | None = None) -> Branch[Any]: ...
    @abc.abstractmethod
    def wait(
        self, signal: str, *, returns: Any = Any, key: str | None = None, timeout: float | None = None
    ) -> Branch[Any]:
        """Wait for a signal of this name, and give its value. One that came before it was waited for counts, too; each signal
        ends one wait. `timeout` is in seconds.

        Raises:
            WaitExpired: none came in time. BadPayload: its value does not fit `returns`.
        """

    @abc.abstractmethod
    def approval(
        self,
        action: str,
        about: Any = None,
        *,
        risk: Risk = "high",
        key: str | None = None,
        timeout: float | None = None,
    ) -> Branch[Approval]:
        """Wait until a person has said yes to `action` (a dotted name) on exactly what `about` holds (JSON-able), which is
        shown to whoever decides. The first answer that names the action's digest counts. `timeout` is in seconds.

        Raises:
            Denied: the answer was no. WaitExpired: there was none in time.
        """

    @overload
    def child(
        self, workflow: Workflow[R], payload: Any = None, *, key: str | None = None, timeout: float | None = None,
        constraints: Constraints | None = None,
    ) -> Branch[R]: ...  # fmt: skip
    @overload
    def child(
        self, workflow: str, payload: Any = None, *, returns: type[T], key: str | None = None,
        timeout: float | None = None, constraints: Constraints | None = None,
    ) -> Branch[T]: ...  # fmt: skip
    @overload
    def child(
        self, workflow: str, payload: Any = None, *, key: str | None = None, timeout: float | None = None,
        constraints: Constraints | None = None,
    ) -> Branch[Any]: ...  # fmt: skip
    @abc.abstractmethod
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
        """A job of its own, of the workflow or its name, and its result once it is over. It has the same tenant, what is left
        of this job's budget and time, and at most `timeout` seconds. When this job is cancelled, paused or resumed, so is it;
        and it is cancelled when this job ends without it.

        Raises:
            DeadlineExceeded: it was not over in time. What the child failed with. BadPayload · UnknownWorkflow.
        """

    # -- what is left behind

    @abc.abstractmethod
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
        """Add an artifact to the job: JSON-able `content` of a dotted `kind`. Again: the same artifact, put once."""

    @abc.abstractmethod
    def artifact(self, artifact_id: str) -> Artifact:
        """One of the job's artifacts.

        Raises:
            KeyError: the job has none of that id.
        """

    @abc.abstractmethod
    async def put_object(self, data: bytes) -> str:
        """Keep bytes in the object store; gives their digest. Again: the same digest, stored once."""

    @abc.abstractmethod
    async def get_object(self, digest: str) -> bytes:
        """The bytes behind a digest.

        Raises:
            KeyError: there are none.
        """

    # -- the same in every run

    @abc.abstractmethod
    def now(self) -> float:
        """Unix seconds: when the last step whose result you have seen was journaled, by the server's clock."""

    @property
    @abc.abstractmethod
    def random(self) -> random.Random:
        """Chance, seeded by the job and the branch."""

    @abc.abstractmethod
    def uuid(self) -> str:
        """The next id of this job and branch, as 36 characters."""

    @abc.abstractmethod
    def patched(self, name: str) -> bool:
        """Whether to do what the changed workflow does, here: `if job.patched("two-reviews"): …new… else: …old…`.

        True for a job that comes here for the first time, and in every replay of that: a marker is journaled. False for one
        that had passed here before the change. Each `job.branch` decides for itself; within one, the first answer stays.
        """

    # -- tell what happens

    @abc.abstractmethod
    def progress(self, text: str) -> None:
        """Say how far the job is; whoever follows it sees it."""

    @abc.abstractmethod
    def log(self, message: str, /, *, level: str = "info", **fields: Any) -> None:
        """One line in the log, with job and correlation on it; nothing while the job is replayed."""


@dataclass(frozen=True, eq=False)
class Workflow(Generic[R]):
    """A workflow as it was defined. Calling it runs the plain function: `await publish_review(job, request)`."""

    name: str
    version: int
    function: Callable[..., Coroutine[Any, Any, R]]
    parameters: Parameters
    output: Contract
    description: str = ""
    on_change: OnChange = "strict"

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R]:
        """Run the function as it was written."""
        return self.function(*args, **kwargs)

    @property
    def capability(self) -> Capability:
        """How the registry shows it."""
        return Capability(
            name=f"workflow.{self.name}",
            command=self.name,
            input=self.parameters.contract.digest,
            output=self.output.digest,
            description=self.description,
        )

    @property
    def schemas(self) -> tuple[Schema, ...]:
        """The schemas of input and output."""
        contracts = {each.digest: each for each in (self.parameters.contract, self.output)}
        return tuple(Schema(digest=digest, schema=each.schema()) for digest, each in contracts.items())

    def arguments(self, raw: msgspec.Raw) -> dict[str, Any]:
        """The arguments in an input.

        Raises:
            BadPayload: it does not fit.
        """
        return self.parameters.arguments(raw)


def workflow(
    name: str, *, version: int = 1, on_change: OnChange = "strict"
) -> Callable[[Callable[..., Coroutine[Any, Any, R]]], Workflow[R]]:
    """Make an async function `(job: Job, …) -> …` a workflow. Raise `version` when you change which steps it takes.
    `on_change` says what becomes of jobs that a change has broken all the same (see `OnChange`).

    Raises:
        TypeError: it could not be run durably; the message has the fix.
    """
    check_name(name, "workflow")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise TypeError(f"workflow {name}: version {version!r} must be a whole number from 1")
    if on_change not in get_args(OnChange):
        raise TypeError(f"workflow {name}: on_change {on_change!r} must be one of {', '.join(get_args(OnChange))}")
    frame = sys._getframe(1)
    local = dict(frame.f_locals)

    def define(function: Callable[..., Coroutine[Any, Any, R]]) -> Workflow[R]:
        hints = _checked(function, local)
        return Workflow(
            name=name,
            version=version,
            function=function,
            parameters=Parameters.of(function, hints, method=True),
            output=_output(function, hints),
            description=(inspect.getdoc(function) or "").partition("\n")[0],
            on_change=on_change,
        )

    return define


def _checked(function: Callable[..., Any], local: Mapping[str, Any]) -> dict[str, Any]:
    place = where(function)
    if inspect.isasyncgenfunction(function) or not inspect.iscoroutinefunction(function):
        raise TypeError(f"{place}: a workflow is `async def` and returns its result; it does not yield")
    hints = resolve_hints(function, local)
    first = next(iter(inspect.signature(function).parameters), None)
    if first is None or hints.get(first) is not Job:
        raise TypeError(f"{place}: the first parameter of a workflow is `job: Job`")
    if "return" not in hints:
        raise TypeError(f"{place}: the result has no type; write `-> Review`, or `-> None`")
    return hints


def _output(function: Callable[..., Any], hints: Mapping[str, Any]) -> Contract:
    try:
        return Contract.of(hints["return"])
    except TypeError as error:
        raise TypeError(f"{where(function)}: {error}") from None


__all__ = ["Approval", "Branch", "Job", "Missing", "OnMissing", "Risk", "Workflow", "workflow"]
