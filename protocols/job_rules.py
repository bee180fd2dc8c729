"""Which event may follow which, and which entry may follow which.

`TRANSITIONS` is the table of the job, `STEP_TRANSITIONS` that of each step. Readers fence by them: an entry is void, as a
whole, when its `previous` is not the sequence of the message before it, when its epoch is not the present owner's (or the
next one, for a claim), when somebody else than the owner wrote it, or when one of its events may not follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from mesh.protocols.job_events import (
    Awarded,
    Entry,
    Event,
    JobHead,
    JobStatus,
    OwnerClaimed,
    StepFailed,
    StepInDoubt,
    StepStarted,
    StepSucceeded,
    tag_of,
)

StepStatus = Literal["started", "succeeded", "failed", "in_doubt"]

_WORK = (
    "step.started",
    "award",
    "step.succeeded",
    "step.failed",
    "step.in_doubt",
    "artifact.put",
    "progressed",
)

TRANSITIONS: Mapping[str, Mapping[str, JobStatus]] = {
    "new": {"submitted": "submitted"},
    "submitted": {"owner.claimed": "running", "dead_lettered": "dead_lettered"},
    "running": {
        "owner.claimed": "running",
        "owner.released": "submitted",
        **dict.fromkeys(_WORK, "running"),
        "completed": "completed",
        "failed": "failed",
        "cancelled": "cancelled",
        "dead_lettered": "dead_lettered",
    },
    "completed": {},
    "failed": {},
    "cancelled": {},
    "dead_lettered": {},
}
"""`TRANSITIONS[state][event type] -> next state`. `new` is before the first event."""

STEP_TRANSITIONS: Mapping[str, Mapping[str, StepStatus]] = {
    "new": {"step.started": "started", "step.succeeded": "succeeded", "step.failed": "failed"},
    "started": {
        "step.started": "started",
        "award": "started",
        "step.succeeded": "succeeded",
        "step.failed": "failed",
        "step.in_doubt": "in_doubt",
    },
    "succeeded": {},
    "failed": {},
    "in_doubt": {},
}
"""The same for one step: a result, once there, is the result."""

TERMINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled", "compensated", "dead_lettered"})
"""The states that a job never leaves."""


def misplaced(head: JobHead | None, job: str, sequence: int, epoch: int, entry: Entry) -> str:
    """Why the entry cannot stand at this place of the journal, or nothing."""
    if entry.previous != sequence:
        return f"it follows message {entry.previous}, the last one is {sequence}"
    claims = [event.process for event in entry.events if isinstance(event, OwnerClaimed)]
    if len(claims) > 1 or (claims and claims[0] != entry.owner):
        return f"{entry.owner or 'nobody'} cannot claim for {' and '.join(claims)}"
    if entry.epoch != epoch + len(claims):
        return f"its epoch is {entry.epoch}, the job's is {epoch}"
    if head is None:
        return ""
    if entry.job != job:
        return f"it belongs to job {entry.job}"
    if not claims and epoch and entry.owner != head.owner:
        return f"{entry.owner or 'nobody'} wrote it, the owner is {head.owner or 'nobody'}"
    return ""


def illegal(status: str, step_status: Callable[[str], StepStatus | None], events: tuple[Event, ...]) -> str:
    """Which of the events may not follow, and why, or nothing. `step_status` tells where a step is, None before it began."""
    if not events:
        return "it has no events"
    changed: dict[str, StepStatus] = {}
    for event in events:
        tag = tag_of(event)
        after = TRANSITIONS[status].get(tag)
        if after is None:
            return f"'{tag}' cannot follow in state {status}"
        status = after
        if isinstance(event, StepStarted | Awarded | StepSucceeded | StepFailed | StepInDoubt):
            before = changed.get(event.key) or step_status(event.key) or "new"
            step = STEP_TRANSITIONS[before].get(tag)
            if step is None:
                return f"'{tag}' cannot follow for step {event.key!r}, which is {before}"
            changed[event.key] = step
    return ""
