"""One step of a job, as the journal knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from mesh.protocols.answer_source import Source
from mesh.protocols.awards import AwardRecord
from mesh.protocols.constraints import Effect, Usage
from mesh.protocols.envelope import Stamps
from mesh.protocols.errors import Fault
from mesh.protocols.job_events import (
    Awarded,
    CompFailed,
    CompStarted,
    CompSucceeded,
    StepFailed,
    StepInDoubt,
    StepKind,
    StepRetried,
    StepStarted,
    StepSucceeded,
    Value,
    tag_of,
)
from mesh.protocols.job_facts import Onward
from mesh.protocols.job_rules import COMP_TRANSITIONS, STEP_TRANSITIONS, CompStatus, StepStatus

NO_USAGE = Usage()
NO_STAMPS = Stamps()


class Try(NamedTuple):
    """An attempt that failed, and how the step went on: the fields are those of `StepRetried`."""

    attempt: int
    fault: Fault
    onward: Onward
    number: int = 0
    what: str = ""
    until: float = 0.0


@dataclass(slots=True)
class StepState:
    """Times are job time; `epoch` is the owner under which it last started or ended. `undoing` tells how far its
    compensation is, None before it began; `undo_fault` why it failed. `tries` are the attempts after which it went on by its
    own policy; of the `awards`, the first `lapsed` were theirs. `source` and `degraded` say what stands in for the result,
    and why; `skipped`, that a failure is given as a mark."""

    key: str
    state: StepStatus = "started"
    name: str = ""
    kind: StepKind = "call"
    effect: Effect = "costly"
    digest: str = ""
    input: Value | None = None
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
    undoing: CompStatus | None = None
    undo_attempt: int = 0
    undo_fault: Fault | None = None
    tries: list[Try] = field(default_factory=list)
    lapsed: int = 0
    source: Source = "full"
    degraded: str = ""
    skipped: bool = False

    @property
    def award(self) -> AwardRecord | None:
        """The one under which its present attempt is done, if it was given to anybody."""
        return self.awards[-1] if len(self.awards) > self.lapsed else None

    @property
    def paused(self) -> bool:
        """Whether its last attempt is known to have failed, and the next one has not begun."""
        return bool(self.tries) and self.tries[-1].attempt == self.attempt

    @property
    def ended(self) -> bool:
        """Whether its outcome is settled."""
        return not STEP_TRANSITIONS[self.state]

    @property
    def seconds(self) -> float:
        """How long it took; a step whose result alone is journaled says so itself."""
        return max(0.0, self.ended_at - self.started_at, self.usage.duration)

    def take(
        self,
        event: StepStarted | Awarded | StepRetried | StepSucceeded | StepFailed | StepInDoubt,
        epoch: int,
        at: float,
    ) -> None:
        """One more event of this step, journaled under `epoch` at job time `at`."""
        self.state = STEP_TRANSITIONS["started"][tag_of(event)]
        self.epoch = epoch
        if isinstance(event, StepStarted):
            self.name, self.kind, self.digest, self.input = event.name, event.kind, event.digest, event.input
            self.effect, self.attempt, self.fault = event.effect, event.attempt, None
            if event.award is not None:
                self.awards.append(event.award)
        elif isinstance(event, Awarded):
            self.awards.append(event.award)
        elif isinstance(event, StepRetried):
            self._go_on(event)
        else:
            self.ended_at = at
            self.attempt += self.paused
            self._end(event)

    def undo(self, event: CompStarted | CompSucceeded | CompFailed) -> None:
        """One more event of its compensation."""
        self.undoing = COMP_TRANSITIONS["started"][tag_of(event)]
        if isinstance(event, CompStarted):
            self.undo_attempt = event.attempt
        elif isinstance(event, CompFailed):
            self.undo_fault = event.fault

    def _go_on(self, event: StepRetried) -> None:
        if event.name:
            self.name, self.kind, self.digest, self.input = event.name, event.kind, event.digest, event.input
        self.attempt, self.lapsed = event.attempt, len(self.awards)
        self.tries.append(Try(event.attempt, event.fault, event.onward, event.number, event.what, event.until))

    def _end(self, event: StepSucceeded | StepFailed | StepInDoubt) -> None:
        if isinstance(event, StepInDoubt):
            self.fault = Fault(code="in-doubt", error_class="semantic", message=event.reason)
            return
        if event.name:
            self.name, self.kind, self.digest, self.input = event.name, event.kind, event.digest, event.input
        self.by, self.usage, self.stamps = event.by, event.usage, event.stamps
        if isinstance(event, StepSucceeded):
            self.output, self.fault = event.output, None
            self.source, self.degraded = event.source, event.degraded
        else:
            self.fault, self.skipped = event.fault, event.skipped
