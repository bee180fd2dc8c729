"""`Job`: the surroundings of one run of a workflow, and what it may do there. What a workflow is given is a `run.InHand`."""

from __future__ import annotations

import abc
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

import msgspec

from mesh.jobs.authoring.branches import Branch
from mesh.jobs.authoring.options import CallOptions, ChildOptions, StepOptions, WaitOptions
from mesh.jobs.running.mapping import AT_ONCE, Key
from mesh.jobs.steps.stand_ins import Answer, Fallbacks
from mesh.protocols.artifacts import Artifact, Confidence, Evidence
from mesh.protocols.constraints import Constraints, Usage
from mesh.resilience.deadline import Deadline

if TYPE_CHECKING:
    from mesh.jobs.authoring.workflow import Workflow

T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V", bool, int, float, str)

OnMissing = Literal["mark", "drop", "raise"]
"""What `gather` gives for a branch that failed: a mark, nothing, or its error."""

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

    @property
    @abc.abstractmethod
    def degraded(self) -> Mapping[str, str]:
        """The steps whose results, as far as you have seen them, are less than was asked for: their keys, and why."""

    # -- do something

    @overload
    def call(
        self, capability: str, payload: Any = None, *, returns: type[T], fallbacks: Fallbacks,
        **options: Unpack[CallOptions],
    ) -> Branch[Answer[T]]: ...  # fmt: skip
    @overload
    def call(
        self, capability: str, payload: Any = None, *, returns: type[T], **options: Unpack[CallOptions]
    ) -> Branch[T]: ...
    @overload
    def call(
        self, capability: str, payload: Any = None, *, fallbacks: Fallbacks, **options: Unpack[CallOptions]
    ) -> Branch[Answer[Any]]: ...
    @overload
    def call(self, capability: str, payload: Any = None, **options: Unpack[CallOptions]) -> Branch[Any]: ...
    @abc.abstractmethod
    def call(
        self,
        capability: str,
        payload: Any = None,
        *,
        returns: Any = Any,
        fallbacks: Fallbacks = (),
        **options: Unpack[CallOptions],
    ) -> Branch[Any]:
        """A step that an agent does: whoever wins the auction for the capability. Awaited, it gives the agent's result; with
        `fallbacks`, which stand in for it where it fails, an `Answer` that says where it comes from. With a policy that skips
        what runs out of time, `Missing` may stand for it. The `options` are told in `mesh.jobs.authoring.options`.

        Again, after a crash: a step that has ended gives the same result, or raises the same error; one that was started is
        awarded again, unless it is `at_most_once`: then it is in doubt.

        Raises:
            NoBids · AgentLost · DeadlineExceeded · BudgetExceeded: nobody did it. The agent's own typed errors.
            StepMisused: what may be done at most once has a policy that would repeat it.
            InDoubt: it is `at_most_once`, the owner died while it was under way, and `on_doubt` is "raise".
            ReplayDiverged: the workflow has changed since the job began. LeaseLost: another process has the job.
        """

    @overload
    def step(
        self, key: str, fn: Callable[..., Awaitable[R]], /, *args: Any, fallbacks: Fallbacks,
        **options: Unpack[StepOptions],
    ) -> Branch[Answer[R]]: ...  # fmt: skip
    @overload
    def step(
        self, key: str, fn: Callable[..., R], /, *args: Any, fallbacks: Fallbacks, **options: Unpack[StepOptions]
    ) -> Branch[Answer[R]]: ...
    @overload
    def step(
        self, key: str, fn: Callable[..., Awaitable[R]], /, *args: Any, **options: Unpack[StepOptions]
    ) -> Branch[R]: ...
    @overload
    def step(self, key: str, fn: Callable[..., R], /, *args: Any, **options: Unpack[StepOptions]) -> Branch[R]: ...
    @abc.abstractmethod
    def step(
        self, key: str, fn: Callable[..., Any], /, *args: Any, fallbacks: Fallbacks = (), **options: Unpack[StepOptions]
    ) -> Branch[Any]:
        """A step that this process does itself: `fn(*args)`, in a thread if it is a plain function.

        What it returns must be JSON-able, of the type it is annotated with, and is what a replay gives. Arguments and
        result belong to the journal. Options, fallbacks and replay are as in `call`; a step that is not `pure` (as it is
        unless `effect` says otherwise) is journaled before it begins.

        Raises:
            HandlerFailed: `fn` raised something that is no MeshError.
        """

    @abc.abstractmethod
    def branch(self, key: str, work: Coroutine[Any, Any, T], *, timeout: float | None = None) -> Branch[T]:
        """Several steps as one branch of a `gather`: their keys stand below `key`, and `timeout` (seconds) is for all, also while
        they wait and nobody holds the job."""

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
        fallbacks: Fallbacks = (),
        **options: Unpack[StepOptions],
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
    def wait(self, signal: str, *, returns: type[T], **options: Unpack[WaitOptions]) -> Branch[T]: ...
    @overload
    def wait(self, signal: str, **options: Unpack[WaitOptions]) -> Branch[Any]: ...
    @abc.abstractmethod
    def wait(self, signal: str, *, returns: Any = Any, **options: Unpack[WaitOptions]) -> Branch[Any]:
        """Wait for a signal of this name, and give its value. One that came before it was waited for counts, too; each signal
        ends one wait. `timeout` is in seconds.

        Raises:
            WaitExpired: none came in time. BadPayload: its value does not fit `returns`.
        """

    @abc.abstractmethod
    def approval(
        self, action: str, about: Any = None, *, risk: Risk = "high", **options: Unpack[WaitOptions]
    ) -> Branch[Approval]:
        """Wait until a person has said yes to `action` (a dotted name) on exactly what `about` holds (JSON-able), which is
        shown to whoever decides. The first answer that names the action's digest counts. `timeout` is in seconds.

        Raises:
            Denied: the answer was no. WaitExpired: there was none in time.
        """

    @overload
    def child(self, workflow: Workflow[R], payload: Any = None, **options: Unpack[ChildOptions]) -> Branch[R]: ...
    @overload
    def child(
        self, workflow: str, payload: Any = None, *, returns: type[T], **options: Unpack[ChildOptions]
    ) -> Branch[T]: ...
    @overload
    def child(self, workflow: str, payload: Any = None, **options: Unpack[ChildOptions]) -> Branch[Any]: ...
    @abc.abstractmethod
    def child(
        self,
        workflow: str | Workflow[Any],
        payload: Any = None,
        *,
        returns: Any = Any,
        **options: Unpack[ChildOptions],
    ) -> Branch[Any]:
        """A job of its own, of the workflow or its name, and its result once it is over. It has the same tenant, what is left
        of this job's budget and time, and at most `timeout` seconds. What a `policy` says of timeouts holds for it, if it is
        given here: tried again, it is another job. When this job is cancelled, paused or resumed, so is it;
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

    @abc.abstractmethod
    def flag(self, name: str, default: V) -> V:
        """What operators have set this flag to for this job's tenant (`mesh flag`), else `default`, as where it is of another type.

        Journaled: a job gets the same answer in every run, whatever the flag is set to later. Each `job.branch` asks for itself;
        within one, the first answer stays.
        """

    # -- tell what happens

    @abc.abstractmethod
    def progress(self, text: str) -> None:
        """Say how far the job is; whoever follows it sees it."""

    @abc.abstractmethod
    def log(self, message: str, /, *, level: str = "info", **fields: Any) -> None:
        """One line in the log, with job and correlation on it; nothing while the job is replayed."""
