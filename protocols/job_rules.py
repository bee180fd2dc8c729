"""Which event may follow which, and which entry may follow which.

`TRANSITIONS` is the table of the job, `STEP_TRANSITIONS`, `WAIT_TRANSITIONS` and `COMP_TRANSITIONS` those of each step, wait
and compensation. Readers fence by them: an entry is void, as a whole, when its `previous` is not the sequence of the message
before it, when its epoch is not the present owner's (or the next one, for a claim), when somebody else than the owner wrote
it, or when one of its events may not follow.

A job that nobody owns (`submitted`, `waiting`, `paused`, `parked`) may be written to by anybody, under the epoch that it has
and no owner's name: what was said to it, or came due, is journaled so by whoever hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from mesh.protocols.job_events import (
    Awarded,
    CompFailed,
    CompStarted,
    CompSucceeded,
    Entry,
    Event,
    JobHead,
    JobStatus,
    OwnerClaimed,
    StepFailed,
    StepInDoubt,
    StepRetried,
    StepStarted,
    StepSucceeded,
    WaitOpened,
    WaitResolved,
    tag_of,
)

StepStatus = Literal["started", "succeeded", "failed", "in_doubt"]
WaitStatus = Literal["open", "resolved"]
CompStatus = Literal["started", "succeeded", "failed"]
Family = Literal["step", "wait", "comp"]

_WORK = (
    "step.started",
    "award",
    "step.retried",
    "step.succeeded",
    "step.failed",
    "step.in_doubt",
    "artifact.put",
    "progressed",
    "wait.opened",
    "wait.resolved",
    "cancel.requested",
    "pause.requested",
    "resumed",
    "comp.started",
    "comp.succeeded",
    "comp.failed",
    "patch.marker",
    "flag.read",
    "snapshot",
)
_SAID = ("signal.received", "inbox.passed")
"""What changes nothing about where the job is."""

TRANSITIONS: Mapping[str, Mapping[str, JobStatus]] = {
    "new": {"submitted": "submitted"},
    "submitted": {
        "owner.claimed": "running",
        "dead_lettered": "dead_lettered",
        "forked_from": "submitted",
        "snapshot": "submitted",
        "wait.resolved": "submitted",
        "cancel.requested": "submitted",
        "pause.requested": "submitted",
        "paused": "paused",
        "resumed": "submitted",
        **dict.fromkeys(_SAID, "submitted"),
    },
    "running": {
        "owner.claimed": "running",
        "owner.released": "submitted",
        "owner.suspended": "waiting",
        "parked": "parked",
        "paused": "paused",
        **dict.fromkeys(_WORK, "running"),
        **dict.fromkeys(_SAID, "running"),
        "completed": "completed",
        "failed": "failed",
        "cancelled": "cancelled",
        "compensated": "compensated",
        "dead_lettered": "dead_lettered",
    },
    "waiting": {
        "owner.claimed": "running",
        "wait.resolved": "submitted",
        "woken": "submitted",
        "cancel.requested": "submitted",
        "pause.requested": "waiting",
        "paused": "paused",
        "resumed": "waiting",
        **dict.fromkeys(_SAID, "waiting"),
    },
    "paused": {
        "resumed": "submitted",
        "woken": "submitted",
        "cancel.requested": "submitted",
        "pause.requested": "paused",
        "wait.resolved": "paused",
        **dict.fromkeys(_SAID, "paused"),
    },
    "parked": {
        "wait.resolved": "submitted",
        "woken": "submitted",
        "cancel.requested": "submitted",
        "pause.requested": "parked",
        "paused": "paused",
        "resumed": "parked",
        **dict.fromkeys(_SAID, "parked"),
    },
    "completed": {"archived": "completed"},
    "failed": {"archived": "failed"},
    "cancelled": {"archived": "cancelled"},
    "compensated": {"archived": "compensated"},
    "dead_lettered": {"archived": "dead_lettered"},
}
"""`TRANSITIONS[state][event type] -> next state`. `new` is before the first event."""

STEP_TRANSITIONS: Mapping[str, Mapping[str, StepStatus]] = {
    "new": {
        "step.started": "started",
        "step.retried": "started",
        "step.succeeded": "succeeded",
        "step.failed": "failed",
    },
    "started": {
        "step.started": "started",
        "award": "started",
        "step.retried": "started",
        "step.succeeded": "succeeded",
        "step.failed": "failed",
        "step.in_doubt": "in_doubt",
    },
    "in_doubt": {"step.started": "started", "step.succeeded": "succeeded", "step.failed": "failed"},
    "succeeded": {},
    "failed": {},
}
"""The same for one step: a result, once there, is the result."""

WAIT_TRANSITIONS: Mapping[str, Mapping[str, WaitStatus]] = {
    "new": {"wait.opened": "open"},
    "open": {"wait.resolved": "resolved"},
    "resolved": {},
}
"""The same for one wait: the first answer is the answer."""

COMP_TRANSITIONS: Mapping[str, Mapping[str, CompStatus]] = {
    "new": {"comp.started": "started"},
    "started": {"comp.started": "started", "comp.succeeded": "succeeded", "comp.failed": "failed"},
    "failed": {"comp.started": "started", "comp.succeeded": "succeeded"},
    "succeeded": {},
}
"""The same for undoing one step: once undone, it is undone."""

TERMINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled", "compensated", "dead_lettered"})
"""The states that a job never leaves."""

UNOWNED: frozenset[str] = frozenset({"submitted", "waiting", "paused", "parked"})
"""The states in which nobody owns it, and anybody may write down what was said to it."""

_TABLES: Mapping[Family, Mapping[str, Mapping[str, str]]] = {
    "step": STEP_TRANSITIONS,
    "wait": WAIT_TRANSITIONS,
    "comp": COMP_TRANSITIONS,
}
_FAMILIES: Mapping[type, Family] = {
    **dict.fromkeys((StepStarted, Awarded, StepRetried, StepSucceeded, StepFailed, StepInDoubt), "step"),
    **dict.fromkeys((WaitOpened, WaitResolved), "wait"),
    **dict.fromkeys((CompStarted, CompSucceeded, CompFailed), "comp"),
}


def misplaced(head: JobHead | None, job: str, sequence: int, epoch: int, entry: Entry) -> str:
    """Why the entry cannot stand at this place of the journal, or nothing."""
    if entry.previous != sequence:
        return f"it follows message {entry.previous}, the last one is {sequence}"
    if not entry.events:
        return "it has no events"
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


def illegal(status: str, known: Callable[[Family, str], str | None], events: tuple[Event, ...]) -> str:
    """Which of the events may not follow, and why, or nothing. `known` tells where a step, a wait or a compensation is, by its
    key; None before it began."""
    changed: dict[tuple[Family, str], str] = {}
    for event in events:
        tag = tag_of(event)
        after = TRANSITIONS[status].get(tag)
        if after is None:
            return f"'{tag}' cannot follow in state {status}"
        status = after
        family = _FAMILIES.get(type(event))
        if family is not None:
            key: str = event.key  # type: ignore[union-attr]
            before = changed.get((family, key)) or known(family, key) or "new"
            following = _TABLES[family][before].get(tag)
            if following is None:
                return f"'{tag}' cannot follow for {family} {key!r}, which is {before}"
            changed[family, key] = following
    return ""
