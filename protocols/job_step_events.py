"""The steps of a job, and what they leave behind."""

from __future__ import annotations

from mesh.protocols.answer_source import Source
from mesh.protocols.artifacts import Artifact
from mesh.protocols.awards import AwardRecord
from mesh.protocols.constraints import Effect, Usage
from mesh.protocols.envelope import Stamps
from mesh.protocols.errors import Fault
from mesh.protocols.job_facts import JobEvent, Onward, StepKind, Value


class StepStarted(JobEvent, frozen=True, tag="step.started"):
    """The step is about to run: journaled before its effect. A step that is awarded carries the award.

    `digest` is that of the input, and `input` the input itself where it is small: so that one that is different when the
    workflow is run again can be shown and not only told. `attempt` counts from 1 and goes up when a new owner runs the step again.
    """

    key: str
    name: str
    kind: StepKind
    digest: str
    effect: Effect = "costly"
    attempt: int = 1
    award: AwardRecord | None = None
    input: Value | None = None


class Awarded(JobEvent, frozen=True, tag="award"):
    """The step was given to somebody else: the last winner declined or was lost."""

    key: str
    award: AwardRecord


class StepRetried(JobEvent, frozen=True, tag="step.retried"):
    """An attempt failed, and by its own policy the step goes on. `attempt` is the one that failed, and `fault` how; `onward` says
    how it goes on, `number` with which of its variations or fallbacks, from 1, and `what` that in words. `until` is job time,
    Unix seconds: it does not go on before. `name`, `kind`, `digest` and `input` stand here where no `step.started` said them.
    """

    key: str
    attempt: int
    fault: Fault
    onward: Onward
    number: int = 0
    what: str = ""
    until: float = 0.0
    name: str = ""
    kind: StepKind = "call"
    digest: str = ""
    input: Value | None = None


class StepSucceeded(JobEvent, frozen=True, tag="step.succeeded"):
    """The step's result. `name`, `kind`, `digest` and `input` stand here where no `step.started` said them. `by` is
    `<agent>.<instance>`. `source` says where the result comes from; `degraded` why it is less than was asked for, empty
    if it is not: a stand-in was taken, or whoever gave it said so."""

    key: str
    output: Value
    name: str = ""
    kind: StepKind = "call"
    digest: str = ""
    input: Value | None = None
    usage: Usage = Usage()
    stamps: Stamps = Stamps()
    by: str = ""
    source: Source = "full"
    degraded: str = ""


class StepFailed(JobEvent, frozen=True, tag="step.failed"):
    """The step failed for good: whoever runs the workflow again meets the same error here, or, where it was `skipped`, is given
    the mark of what is missing."""

    key: str
    fault: Fault
    name: str = ""
    kind: StepKind = "call"
    digest: str = ""
    input: Value | None = None
    usage: Usage = Usage()
    stamps: Stamps = Stamps()
    by: str = ""
    skipped: bool = False


class StepInDoubt(JobEvent, frozen=True, tag="step.in_doubt"):
    """An at-most-once step was started and its owner was lost: its effect may or may not have happened.

    Whoever finds out writes a `step.succeeded` or `step.failed` after it, or a `step.started`, if it is done again."""

    key: str
    reason: str


class ArtifactPut(JobEvent, frozen=True, tag="artifact.put"):
    """The job has one more artifact."""

    artifact: Artifact


class Progressed(JobEvent, frozen=True, tag="progressed"):
    """The workflow, or an agent working for it, said how far it is. Shown, never decided by."""

    text: str
    step: str = ""
