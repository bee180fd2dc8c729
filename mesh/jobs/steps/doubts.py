"""`Doubts`: a step that may be done at most once, and was under way when its owner or agent was lost. Nobody knows whether it
took effect, so it is never simply done again.

Whoever can find out is asked first (`reconcile`); else a person decides (`mesh job resolve`), while the job is parked; or, if
the workflow would rather, it gets `InDoubt`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from mesh.actors.declaring.contract import Contract
from mesh.jobs.authoring.branches import Branch
from mesh.jobs.journals.journal import Journal
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.alerts import Alert, raise_alert
from mesh.jobs.owning.seat import Seat
from mesh.jobs.running.scope import Scope, current
from mesh.jobs.running.stillness import Stillness
from mesh.jobs.steps import local
from mesh.jobs.waiting.waits import Waits
from mesh.protocols.errors import Cancelled, Catastrophic, HandlerFailed, InDoubt
from mesh.protocols.job_events import StepFailed, StepInDoubt, StepSucceeded, Value, WaitOpened
from mesh.protocols.job_step_state import StepState

SUFFIX = "/~doubt"
"""Ends the key of the wait for a decision about a step in doubt."""

OnDoubt = Literal["park", "raise"]
"""`park`: a person decides, with an alert. `raise`: the workflow gets `InDoubt`, and the step has failed."""


class NotDone:
    """What a `reconcile` function returns when the step took no effect: it is done again. The class itself is the value."""


Reconcile = Callable[[], Any]
"""Gives the step's result, or `NotDone`; it raises when it cannot find out. Async, or plain (then it runs in a thread); where
it gives a branch such as `job.call(…)`, what that gives counts."""


_WAYS = frozenset(get_args(OnDoubt))


@dataclass(frozen=True)
class Doubt:
    """What the workflow says about a step in doubt; `contract` is that of its result."""

    contract: Contract
    on_doubt: OnDoubt = "park"
    reconcile: Reconcile | None = None

    def __post_init__(self) -> None:
        if self.on_doubt not in _WAYS:
            raise TypeError(f"on_doubt={self.on_doubt!r}: write 'park' (a person decides) or 'raise' (InDoubt)")


class Doubts:
    """The doubts of one run."""

    def __init__(self, seat: Seat, journal: Journal, values: Values, waits: Waits, stillness: Stillness) -> None:
        self._seat = seat
        self._journal = journal
        self._values = values
        self._waits = waits
        self._stillness = stillness

    async def settle(self, scope: Scope, step: StepState, doubt: Doubt) -> bool:
        """Find out what became of the step, and journal it; True: nothing did, and it may be done again.

        Raises:
            Cancelled: the job is cancelled meanwhile; the step stays in doubt. LeaseLost.
        """
        reason = _reason(step)
        if step.state != "in_doubt" and doubt.on_doubt == "raise" and doubt.reconcile is None:
            await self._fail(step, reason, StepInDoubt(key=step.key, reason=reason))
            return False
        if step.state != "in_doubt":
            await self._journal.append(StepInDoubt(key=step.key, reason=reason))
        key = _wait_key(step)
        if doubt.reconcile is not None and self._waits.knows(key) is None:
            try:
                return await self._reconciled(scope, step, doubt)
            except Exception as error:
                self._journal.check()
                if isinstance(error, Catastrophic | Cancelled):
                    raise
                reason = f"{reason}; asked to find out, {_name(doubt.reconcile)} raised {type(error).__name__}: {error}"
        if doubt.on_doubt == "raise":
            await self._fail(step, reason)
            return False
        return await self._decided(scope, step, key, reason)

    async def _reconciled(self, scope: Scope, step: StepState, doubt: Doubt) -> bool:
        """Whether it may be done again. What is asked of the job meanwhile stands below the step's own key."""
        assert doubt.reconcile is not None
        token = current.set(Scope(scope.job, f"{step.key}/reconcile{_number(step)}/", scope.now, scope.ahead))
        try:
            with self._stillness.working():
                found = await local.call(doubt.reconcile, ())
            if isinstance(found, Branch):
                found = await found
        finally:
            current.reset(token)
        if found is NotDone:
            return True
        output = await self._values.keep(doubt.contract.encode(found), f"result of step {step.key}")
        await self._journal.append(StepSucceeded(key=step.key, output=output, by=_name(doubt.reconcile)))
        return False

    async def _decided(self, scope: Scope, step: StepState, key: str, reason: str) -> bool:
        """What a person says. The alert is raised before the job is parked, so that none is parked in silence."""
        if self._waits.knows(key) is None:
            state = self._journal.state
            workflow = state.head.workflow if state.head else ""
            alert = Alert(job=state.job, workflow=workflow, key=key, what="step in doubt", reason=reason)
            with self._stillness.working():
                await raise_alert(self._seat, self._journal.tenant, alert)
        about = Value(inline=msgspec.Raw(msgspec.json.encode(reason)))
        answer = await self._waits.wait(scope, WaitOpened(key=key, kind="resolution", name=step.key, about=about))
        if answer.how == "retry":
            return True
        if answer.how == "succeeded":
            output = answer.value or Value()
            await self._journal.append(StepSucceeded(key=step.key, output=output, by=answer.by))
        else:
            said = f": {answer.reason}" if answer.reason else ""
            error = HandlerFailed(f"{answer.by or 'somebody'} said that it failed{said}", detail={"by": answer.by})
            await self._journal.append(StepFailed(key=step.key, fault=error.fault(), by=answer.by))
        return False

    async def _fail(self, step: StepState, reason: str, *before: StepInDoubt) -> None:
        await self._journal.append(*before, StepFailed(key=step.key, fault=InDoubt(reason).fault()))


def in_doubt(step: StepState) -> bool:
    """Whether it is not known what became of it. Where an agent was at work, whoever holds the award is asked first."""
    lost = step.state == "started" and step.effect == "at_most_once" and step.award is None and not step.paused
    return lost or step.state == "in_doubt"


def _reason(step: StepState) -> str:
    if step.state == "in_doubt" and step.fault is not None:
        return step.fault.message
    return (
        f"step {step.key!r} ({step.name}) may be done at most once; its owner was lost after it had been started, and "
        "it is not known whether it took effect"
    )


def _wait_key(step: StepState) -> str:
    return step.key + SUFFIX + _number(step)


def _number(step: StepState) -> str:
    return f"#{step.attempt}" if step.attempt > 1 else ""


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
