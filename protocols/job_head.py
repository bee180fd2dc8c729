"""The job in one line, event by event: what a writer puts into its entry, and a reader checks nothing by but shows."""

from __future__ import annotations

import msgspec

from mesh.protocols.job_events import (
    MOST_WAITS,
    Event,
    JobHead,
    OwnerClaimed,
    Submitted,
    WaitOpened,
    WaitResolved,
    tag_of,
)
from mesh.protocols.job_rules import TERMINAL, TRANSITIONS
from mesh.protocols.job_wait_state import in_short


def advance(head: JobHead | None, tenant: str, events: tuple[Event, ...]) -> JobHead:
    """The head after `events`, which are known to fit.

    Raises:
        ValueError: there are none, or the first of a journal is not `submitted`.
    """
    for event in events:
        head = _advanced(head, event, tenant)
        if getattr(event, "inbox", 0) > head.inbox:
            head = msgspec.structs.replace(head, inbox=event.inbox)  # type: ignore[union-attr]
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
            priority=event.constraints.priority,
        )
    if head is None:
        raise ValueError("a journal begins with 'submitted'")
    if isinstance(event, OwnerClaimed):
        return msgspec.structs.replace(head, state=state, owner=event.process, incarnation=event.incarnation)
    if isinstance(event, WaitOpened) and len(head.waits) < MOST_WAITS:
        return msgspec.structs.replace(head, state=state, waits=(*head.waits, in_short(event)))
    if isinstance(event, WaitResolved):
        left = tuple(each for each in head.waits if each.key != event.key)
        return msgspec.structs.replace(head, state=state, waits=left)
    if head.state == state:
        return head
    if state in TERMINAL:
        return msgspec.structs.replace(head, state=state, waits=())
    return msgspec.structs.replace(head, state=state, owner="", incarnation="")
