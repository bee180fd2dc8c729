"""`GateRules`: once a process has read a kill switch, no step begins there of a job, or of a kind, that it kills.

A step begins when its owner goes on to do it, and again when it is about to journal that: an agent for it may be looked for as long
as it has time. What an agent was given before goes on, and what undoes a job is done whatever is killed. By whom a job was
handed in, and as what, its journal says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mesh.jobs.steps.attempt import Attempt
from mesh.jobs.steps.step import Step
from mesh.jobs.steps.steps import Steps
from mesh.jobs.waiting.children import Children
from tests.simulation.place import HERE
from tests.simulation.policy_rules import PolicyRules, killed
from tests.simulation.seams import Seams

if TYPE_CHECKING:
    from tests.simulation.invariants import Invariants


class GateRules:
    """See the module."""

    def __init__(self, invariants: Invariants, seams: Seams, policies: PolicyRules) -> None:
        self._invariants = invariants
        self._policies = policies
        seams.before(Steps, "_do", self._begins)
        seams.before(Attempt, "_begin", self._started)
        seams.before(Children, "_begin", self._child)

    def _begins(self, steps: Steps, scope: Any, step: Step, work: Any, known: Any, *more: Any) -> None:
        if step.undoes or (known is not None and known.award is not None):
            return
        of_call = {"capability": step.name} if step.kind == "call" else {}
        self._look(steps._journal, f"step {step.key}", {"step-kind": step.kind, **of_call})

    def _started(self, attempt: Attempt, award: Any = None) -> None:
        """It is about to be journaled as started; an award that is taken up is journaled by nobody."""
        step = attempt.step
        if not step.undoes and (award is not None or attempt.resume is None):
            of_call = {"capability": step.name} if step.kind == "call" else {}
            self._look(attempt._journal, f"step {step.key}", {"step-kind": step.kind, **of_call})

    def _child(self, children: Children, opened: Any, *more: Any) -> None:
        """A child is a step of its parent, and a job of its own workflow."""
        names = {"step-kind": "child", "child": opened.name}
        self._look(children._journal, f"child {opened.key}", names)

    def _look(self, journal: Any, what: str, names: dict[str, str]) -> None:
        read = self._policies.read(HERE.get())
        if not read:
            return
        job = self._invariants.jobs[journal.state.job]
        child = {"workflow": names.pop("child", "")}
        found = killed(read, {**names, "tenant": job.tenant, "workflow": job.workflow}) or killed(read, child)
        if found:
            self._invariants.violated(
                f"{what} of job {journal.state.job} begins in {HERE.get()}, which has read: {found}"
            )
