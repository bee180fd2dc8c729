"""`@workflow`: what a team writes.

    @workflow("publish-review", version=2)
    async def publish_review(job: Job, request: ReviewRequest) -> Review:
        findings = await job.gather(*(job.call(f"review.{kind}", request, key=kind, timeout=20) for kind in KINDS), need=2)
        return await job.call("review.synthesize", findings, returns=Review)

A workflow is a durable function: when its owner dies, another process runs it again from the top, and every step that has
ended returns what it returned before, without being done. Between steps it may only compute: time, chance and identity
come from the `Job`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args

import msgspec

from mesh.actors.declaring.contract import Contract
from mesh.actors.declaring.parameters import Parameters, resolve_hints, where
from mesh.jobs.authoring.branches import Branch, Missing
from mesh.jobs.authoring.job import Approval, Job, OnMissing, Risk
from mesh.jobs.authoring.policy import NO_POLICY, StepPolicy
from mesh.protocols.naming.names import check_name
from mesh.registry.records import Capability, Schema

R = TypeVar("R")

OnChange = Literal["strict", "warn", "rerun", "fail"]
"""What becomes of a job whose journal does not fit the code that runs it. `strict`: it is parked, with an alert, until code
that fits is there. `fail`: it fails. `warn`: the journal's outcome is given all the same. `rerun`: a step whose input is
another is done again, beside what it gave before; not where it may be done at most once."""


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
    policy: StepPolicy = NO_POLICY

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
    name: str, *, version: int = 1, on_change: OnChange = "strict", policy: StepPolicy = NO_POLICY
) -> Callable[[Callable[..., Coroutine[Any, Any, R]]], Workflow[R]]:
    """Make an async function `(job: Job, …) -> …` a workflow. Raise `version` when you change which steps it takes.
    `on_change` says what becomes of jobs that a change has broken all the same (see `OnChange`), and `policy` what becomes of its steps when they run out of time or fail, where they do not say so themselves.

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
            policy=policy,
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
