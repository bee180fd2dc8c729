"""What a job is: the fold of its journal.

An entry that `job_rules` objects to is void, as a whole: it was never there. `JobState.void` says what was passed over and
why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from mesh.protocols.artifacts import Artifact
from mesh.protocols.awards import AwardRecord
from mesh.protocols.constraints import Effect, Usage
from mesh.protocols.envelope import Stamps
from mesh.protocols.errors import Fault
from mesh.protocols.job_events import (
    ArtifactPut,
    Awarded,
    Cancelled,
    Completed,
    DeadLettered,
    Entry,
    Event,
    Failed,
    JobHead,
    OwnerClaimed,
    OwnerReleased,
    Progressed,
    StepFailed,
    StepInDoubt,
    StepKind,
    StepStarted,
    StepSucceeded,
    Submitted,
    Unknown,
    Value,
    tag_of,
)
from mesh.protocols.job_rules import STEP_TRANSITIONS, TERMINAL, TRANSITIONS, StepStatus, illegal, misplaced

PROGRESS_KEPT = 200
NO_USAGE = Usage()
NO_STAMPS = Stamps()


class Recorded(NamedTuple):
    """An entry as it stands in the stream: `time` is the server's timestamp, Unix seconds."""

    entry: Entry
    sequence: int
    time: float

    @property
    def at(self) -> float:
        """When it happened, in job time."""
        return self.entry.at or self.time


class Void(NamedTuple):
    """An entry that was passed over, and why."""

    sequence: int
    reason: str


class Claim(NamedTuple):
    """One owner of the job."""

    epoch: int
    process: str
    at: float


class Note(NamedTuple):
    """One line of progress."""

    text: str
    step: str
    at: float


@dataclass(slots=True)
class StepState:
    """One step as the journal knows it. Times are job time; `epoch` is the owner under which it last started or ended."""

    key: str
    state: StepStatus = "started"
    name: str = ""
    kind: StepKind = "call"
    effect: Effect = "costly"
    digest: str = ""
    attempt: int = 1
    epoch: int = 0
    awards: list[AwardRecord] = field(default_factory=list)
    output: Value | None = None
    fault: Fault | None = None
    usage: Usage = NO_USAGE
    stamps: Stamps = NO_STAMPS
    by: str = ""
    started_at: float = 0.0
    ended_at: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether its outcome is settled."""
        return not STEP_TRANSITIONS[self.state]


@dataclass(slots=True)
class JobState:
    """One job as its journal tells it.

    `barren` counts the claims since a step last ended: owners that died, or were lost, without getting anywhere.
    `sequence` is that of the last message on its subject, void ones included. `unreadable` names an event type of a later
    release: from there on only the fences are checked, and each entry's own head is believed.
    """

    job: str = ""
    sequence: int = 0
    epoch: int = 0
    head: JobHead | None = None
    submitted: Submitted | None = None
    entries: int = 0
    steps: dict[str, StepState] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    progress: list[Note] = field(default_factory=list)
    notes: int = 0
    output: Value | None = None
    fault: Fault | None = None
    usage: Usage = NO_USAGE
    updated_at: float = 0.0
    void: list[Void] = field(default_factory=list)
    barren: int = 0
    unreadable: str = ""

    @property
    def status(self) -> str:
        """The job's state; `new` while there is no event."""
        return self.head.state if self.head else "new"

    @property
    def terminal(self) -> bool:
        """Whether it is over for good."""
        return self.status in TERMINAL

    def apply(self, recorded: Recorded) -> bool:
        """Take one more entry, in order; False, and nothing changed but the sequence, when it is void."""
        reason = self.objection(recorded.entry)
        self.sequence = recorded.sequence
        if reason:
            self.void.append(Void(recorded.sequence, reason))
            return False
        self.job = recorded.entry.job
        self.epoch = recorded.entry.epoch
        self.entries += 1
        self.updated_at = max(self.updated_at, recorded.at)
        for event in recorded.entry.events:
            _take(self, event, recorded)
        head = (
            recorded.entry.head if self.unreadable else advance(self.head, recorded.entry.tenant, recorded.entry.events)
        )
        self.head = _dated(head, recorded)
        return True

    def objection(self, entry: Entry) -> str:
        """Why the entry cannot follow, or nothing."""
        wrong = misplaced(self.head, self.job, self.sequence, self.epoch, entry)
        if wrong or self.unreadable or any(isinstance(event, Unknown) for event in entry.events):
            return wrong
        return illegal(self.status, self._step_status, entry.events)

    def _step_status(self, key: str) -> StepStatus | None:
        step = self.steps.get(key)
        return step.state if step else None


def fold(records: Iterable[Recorded]) -> JobState:
    """The state that a journal amounts to."""
    state = JobState()
    for recorded in records:
        state.apply(recorded)
    return state


def advance(head: JobHead | None, tenant: str, events: tuple[Event, ...]) -> JobHead:
    """The head after `events`, which are known to fit: what a writer puts into the entry."""
    for event in events:
        head = _advanced(head, event, tenant)
    if head is None:
        raise ValueError("an entry needs at least one event")
    return head


def _advanced(head: JobHead | None, event: Event, tenant: str) -> JobHead:
    state = TRANSITIONS[head.state if head else "new"][tag_of(event)]
    if isinstance(event, Submitted):
        return JobHead(
            workflow=event.workflow,
            version=event.version,
            tenant=tenant,
            state=state,
            submitted_at=event.received_at,
        )
    if head is None:
        raise ValueError("a journal begins with 'submitted'")
    if isinstance(event, OwnerClaimed):
        return msgspec.structs.replace(head, state=state, owner=event.process, incarnation=event.incarnation)
    if isinstance(event, OwnerReleased):
        return msgspec.structs.replace(head, state=state, owner="", incarnation="")
    return head if head.state == state else msgspec.structs.replace(head, state=state)


def _dated(head: JobHead, recorded: Recorded) -> JobHead:
    return head if head.submitted_at else msgspec.structs.replace(head, submitted_at=recorded.time)


def _take(state: JobState, event: Event, recorded: Recorded) -> None:
    match event:
        case Submitted():
            state.submitted = event
        case OwnerClaimed():
            state.claims.append(Claim(recorded.entry.epoch, event.process, recorded.at))
            state.barren += 1
        case OwnerReleased():
            state.barren = 0
        case Completed():
            state.output = event.output
        case Failed() | Cancelled() | DeadLettered():
            state.fault = event.fault
        case ArtifactPut():
            state.artifacts[event.artifact.id] = event.artifact
        case Progressed():
            state.notes += not event.step
            state.progress.append(Note(event.text, event.step, recorded.at))
            del state.progress[:-PROGRESS_KEPT]
        case Unknown():
            state.unreadable = event.type_name
        case StepStarted() | Awarded() | StepSucceeded() | StepFailed() | StepInDoubt():
            _take_step(state, event, recorded)


def _take_step(
    state: JobState, event: StepStarted | Awarded | StepSucceeded | StepFailed | StepInDoubt, recorded: Recorded
) -> None:
    step = state.steps.setdefault(event.key, StepState(event.key, started_at=recorded.at))
    step.state = STEP_TRANSITIONS["started"][tag_of(event)]
    step.epoch = recorded.entry.epoch
    if isinstance(event, StepStarted):
        _start(step, event)
    elif isinstance(event, Awarded):
        step.awards.append(event.award)
    else:
        step.ended_at = recorded.at
        state.barren = 0
        _end(state, step, event)


def _start(step: StepState, event: StepStarted) -> None:
    step.name, step.kind, step.digest = event.name, event.kind, event.digest
    step.effect, step.attempt = event.effect, event.attempt
    if event.award is not None:
        step.awards.append(event.award)


def _end(state: JobState, step: StepState, event: StepSucceeded | StepFailed | StepInDoubt) -> None:
    if isinstance(event, StepInDoubt):
        step.fault = Fault(code="in-doubt", error_class="semantic", message=event.reason)
        return
    if event.name:
        step.name, step.kind, step.digest = event.name, event.kind, event.digest
    step.by, step.usage = event.by, event.usage
    state.usage = state.usage + event.usage
    if isinstance(event, StepSucceeded):
        step.output, step.stamps = event.output, event.stamps
    else:
        step.fault = event.fault
