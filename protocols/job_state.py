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
from mesh.protocols.constraints import Usage
from mesh.protocols.errors import Fault, JournalCorrupt
from mesh.protocols.job_events import (
    Archived,
    ArtifactPut,
    Awarded,
    Cancelled,
    CancelRequested,
    Compensated,
    CompFailed,
    Completed,
    CompStarted,
    CompSucceeded,
    DeadLettered,
    Entry,
    Event,
    Failed,
    FlagRead,
    Forked,
    JobHead,
    OwnerClaimed,
    OwnerReleased,
    Parked,
    PatchMarker,
    Paused,
    PauseRequested,
    Progressed,
    Resumed,
    SignalReceived,
    Snapshot,
    StepFailed,
    StepInDoubt,
    StepRetried,
    StepStarted,
    StepSucceeded,
    Submitted,
    Suspended,
    Unknown,
    Value,
    WaitOpened,
    WaitResolved,
    tag_of,
)
from mesh.protocols.job_head import advance
from mesh.protocols.job_history_events import SNAPSHOT_FORMAT
from mesh.protocols.job_rules import TERMINAL, UNOWNED, Family, illegal, misplaced
from mesh.protocols.job_step_state import NO_USAGE, StepState
from mesh.protocols.job_wait_state import Signal, WaitState

PROGRESS_KEPT = 200


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
class JobState:
    """One job as its journal tells it.

    `barren` counts the claims since the job last got anywhere: owners that died, or were lost. `sequence` is that of the last
    message on its subject, void ones included; `inbox` that of the last message of its inbox that has been journaled.
    `cancel` and `pause` are set while they are asked for, `undoing` says why what it had done is being undone,
    `parked` says why a person must decide. `unreadable` names an event
    type of a later release: from there on only the fences are checked, and each entry's own head is believed.
    `fresh` counts the events since the last snapshot.
    """

    job: str = ""
    sequence: int = 0
    epoch: int = 0
    head: JobHead | None = None
    submitted: Submitted | None = None
    forked: Forked | None = None
    archived: Archived | None = None
    entries: int = 0
    events: int = 0
    fresh: int = 0
    steps: dict[str, StepState] = field(default_factory=dict)
    waits: dict[str, WaitState] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)
    inbox: int = 0
    cancel: CancelRequested | None = None
    pause: PauseRequested | None = None
    parked: str = ""
    patches: set[str] = field(default_factory=set)
    flags: dict[str, bool | int | float | str] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    progress: list[Note] = field(default_factory=list)
    notes: int = 0
    output: Value | None = None
    fault: Fault | None = None
    undoing: Fault | None = None
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

    @property
    def unowned(self) -> bool:
        """Whether nobody drives it, so that anybody may write down what was said to it."""
        return self.status in UNOWNED

    @property
    def degraded(self) -> dict[str, str]:
        """The steps whose results are less than was asked for, and why; children that say so of theirs among them."""
        steps = {key: each.degraded for key, each in self.steps.items() if each.degraded}
        waits = {key: each.answer.degraded for key, each in self.waits.items() if each.answer and each.answer.degraded}
        return steps | waits

    @property
    def open_waits(self) -> list[WaitState]:
        """What it waits for, in the order in which it began to."""
        return [each for each in self.waits.values() if each.answer is None]

    def apply(self, recorded: Recorded) -> bool:
        """Take one more entry, in order; False, and nothing changed but the sequence, when it is void."""
        reason = self.objection(recorded.entry)
        if reason:
            self.sequence = recorded.sequence
            self.void.append(Void(recorded.sequence, reason))
            return False
        self._take_in(recorded)
        self.head = self._placed(self._head_after(recorded.entry), recorded)
        return True

    def accept(self, recorded: Recorded) -> None:
        """Take one's own entry: it was made for this place, so nothing speaks against it, and its head is right."""
        self._take_in(recorded)
        self.head = self._placed(recorded.entry.head, recorded)

    def _take_in(self, recorded: Recorded) -> None:
        entry = recorded.entry
        self.sequence = recorded.sequence
        self.job = entry.job
        self.epoch = entry.epoch
        self.entries += 1
        self.events += len(entry.events)
        self.fresh = 0 if isinstance(entry.events[-1], Snapshot) else self.fresh + len(entry.events)
        self.updated_at = max(self.updated_at, recorded.at)
        for event in entry.events:
            _take(self, event, recorded)

    def date_claim(self, at: float) -> None:
        """Its owner has learnt when its claim was stored: only the server knows."""
        self.claims[-1] = self.claims[-1]._replace(at=at)
        self.updated_at = max(self.updated_at, at)

    def objection(self, entry: Entry) -> str:
        """Why the entry cannot follow, or nothing."""
        if self.head is None and is_tombstone(entry):
            return ""
        wrong = misplaced(self.head, self.job, self.sequence, self.epoch, entry)
        if wrong or self.unreadable or any(isinstance(event, Unknown) for event in entry.events):
            return wrong
        return illegal(self.status, self._known, entry.events)

    def _head_after(self, entry: Entry) -> JobHead:
        if self.unreadable or (self.head is None and is_tombstone(entry)):
            return entry.head
        return advance(self.head, entry.tenant, entry.events)

    def _placed(self, head: JobHead, recorded: Recorded) -> JobHead:
        """With what is only known once the entry is stored."""
        if isinstance(recorded.entry.events[-1], Snapshot):
            head = msgspec.structs.replace(head, snapshot=recorded.sequence)
        return head if head.submitted_at else msgspec.structs.replace(head, submitted_at=recorded.time)

    def _known(self, family: Family, key: str) -> str | None:
        if family == "wait":
            wait = self.waits.get(key)
            return wait.status if wait else None
        step = self.steps.get(key)
        if step is None:
            return None
        return step.state if family == "step" else step.undoing


def is_tombstone(entry: Entry) -> bool:
    """Whether the entry stands for a journal that was archived: then nothing needs to stand before it."""
    return len(entry.events) == 1 and isinstance(entry.events[0], Archived)


def outline(last: Recorded) -> JobState:
    """What the last entry alone tells of a job: where its journal stands, and its head. What follows is fenced as ever, and
    each entry's head believed; of steps and waits it knows only what comes after."""
    entry, head = last.entry, last.entry.head
    return JobState(
        job=entry.job, sequence=last.sequence, epoch=entry.epoch, head=head, inbox=head.inbox, unreadable="before"
    )


def fold(records: Iterable[Recorded]) -> JobState:
    """The state that a journal amounts to."""
    state = JobState()
    for recorded in records:
        state.apply(recorded)
    return state


def seal(state: JobState) -> msgspec.Raw:
    """The state as JSON, to begin with in place of everything before."""
    return msgspec.Raw(msgspec.json.encode(state))


def unseal(raw: msgspec.Raw) -> JobState:
    """The state in what `seal` gave.

    Raises:
        JournalCorrupt: it is none.
    """
    try:
        return _decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise JournalCorrupt(f"a snapshot holds no state of a job: {error}") from None


_decoder = msgspec.json.Decoder(JobState)


def _take(state: JobState, event: Event, recorded: Recorded) -> None:
    match event:
        case StepStarted() | Awarded() | StepRetried() | StepSucceeded() | StepFailed() | StepInDoubt():
            _take_step(state, event, recorded)
        case WaitOpened() | WaitResolved() | SignalReceived() | CancelRequested() | PauseRequested() | Resumed():
            _take_word(state, event, recorded.at)
        case CompStarted() | CompSucceeded() | CompFailed():
            state.steps.setdefault(event.key, StepState(event.key)).undo(event)
            state.undoing = state.undoing or getattr(event, "fault", None)
            state.barren = 0
        case ArtifactPut():
            state.artifacts[event.artifact.id] = event.artifact
        case Progressed():
            state.notes += not event.step
            state.progress.append(Note(event.text, event.step, recorded.at))
            del state.progress[:-PROGRESS_KEPT]
        case Unknown():
            state.unreadable = event.type_name
        case _:
            _take_life(state, event, recorded)
    state.inbox = max(state.inbox, getattr(event, "inbox", 0))


def _take_life(state: JobState, event: Event, recorded: Recorded) -> None:
    match event:
        case Submitted():
            state.submitted = event
        case OwnerClaimed():
            state.claims.append(Claim(recorded.entry.epoch, event.process, recorded.at))
            state.barren += 1
            state.parked = ""
        case OwnerReleased() | Suspended() | Paused():
            state.barren = 0
        case Parked():
            state.barren = 0
            state.parked = event.reason
        case Completed():
            state.output = event.output
        case Failed() | Cancelled() | Compensated() | DeadLettered():
            state.fault = event.fault
        case Forked():
            state.forked = event
        case Snapshot() if recorded.entry.previous == 0:
            _inherit(state, event)
        case PatchMarker():
            state.patches.add(event.name)
        case FlagRead():
            state.flags.setdefault(event.name, event.value)
        case Archived():
            state.archived, state.output, state.fault = event, event.output, event.fault


def _inherit(state: JobState, event: Snapshot) -> None:
    """A fork begins with what another job had done. Who reads journals has put a large snapshot in its place before."""
    if event.state.ref is not None or event.format > SNAPSHOT_FORMAT:
        state.unreadable = tag_of(event)
        return
    had = unseal(event.state.inline)
    state.steps, state.waits, state.artifacts = had.steps, had.waits, had.artifacts
    state.signals, state.inbox, state.patches, state.flags = had.signals, had.inbox, had.patches, had.flags
    state.progress, state.notes, state.usage = had.progress, had.notes, had.usage


def _take_step(
    state: JobState,
    event: StepStarted | Awarded | StepRetried | StepSucceeded | StepFailed | StepInDoubt,
    recorded: Recorded,
) -> None:
    step = state.steps.setdefault(event.key, StepState(event.key, started_at=recorded.at))
    step.take(event, recorded.entry.epoch, recorded.at)
    if isinstance(event, StepSucceeded | StepFailed):
        state.usage = state.usage + event.usage
    if isinstance(event, StepRetried | StepSucceeded | StepFailed | StepInDoubt):
        state.barren = 0


def _take_word(
    state: JobState,
    event: WaitOpened | WaitResolved | SignalReceived | CancelRequested | PauseRequested | Resumed,
    at: float,
) -> None:
    match event:
        case WaitOpened():
            state.waits[event.key] = WaitState(event, at)
            state.barren = 0
        case WaitResolved():
            _resolve(state, event, at)
        case SignalReceived():
            state.signals.append(Signal(event.inbox, event.name, event.value, event.by))
        case CancelRequested():
            state.cancel, state.pause = event, None
        case PauseRequested():
            state.pause = event
        case Resumed():
            state.pause = None


def _resolve(state: JobState, event: WaitResolved, at: float) -> None:
    wait = state.waits.get(event.key)
    if wait is not None:
        state.waits[event.key] = wait._replace(answer=event, resolved_at=event.at or at)
    if event.inbox:
        state.signals = [each for each in state.signals if each.inbox != event.inbox]
    state.usage = state.usage + event.usage
    state.barren = 0
