"""What may be said of a step beside what it does: the keywords of `job.call`, `job.step`, `job.map`, `job.wait` and the rest, each
told once.

`key` names the step, and is needed where several run at once. `timeout` is in seconds: for each attempt of a call (else what the
capability declares), of a step of this process (else what is left of the job), or for the wait. `policy` says what becomes of a
step that runs out of time or fails (else the workflow's own). `effect` says what happens when the job's owner dies meanwhile.
`compensate` undoes the step, should the job fail or be cancelled after it succeeded: a capability, called with the step's result,
or a function of the result; the last step is undone first. `reconcile` is asked what became of an `at_most_once` step that was
under way when its owner was lost; where it cannot tell, `on_doubt` says whether a person decides, with the job parked, or the
workflow gets `InDoubt`. `labels` and `constraints` narrow who may do it, `mode` is how it is awarded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from mesh.jobs.authoring.policy import StepPolicy
from mesh.jobs.authoring.undo import Compensation
from mesh.jobs.steps.doubts import OnDoubt, Reconcile
from mesh.protocols.acts import Mode
from mesh.protocols.constraints import Constraints, Effect


class StepOptions(TypedDict, total=False):
    """Those of a step, whoever does it."""

    timeout: float | None
    policy: StepPolicy | None
    effect: Effect | None
    compensate: Compensation | None
    on_doubt: OnDoubt
    reconcile: Reconcile | None


class CallOptions(StepOptions, total=False):
    """Those of a step that an agent does."""

    key: str | None
    labels: Mapping[str, str] | None
    mode: Mode
    constraints: Constraints | None


class WaitOptions(TypedDict, total=False):
    """Those of a wait."""

    key: str | None
    timeout: float | None


class ChildOptions(WaitOptions, total=False):
    """Those of a job of its own."""

    constraints: Constraints | None
    policy: StepPolicy | None
