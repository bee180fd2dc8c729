"""What people are told of a job's waits and endings, and of what became of their word, in words."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mesh.protocols.job_events import (
    CancelRequested,
    Event,
    JobStatus,
    PauseRequested,
    Resumed,
    SignalReceived,
    WaitOpened,
    WaitResolved,
    tag_of,
)

MOST_TOLD = 8
"""Degraded steps told one by one."""
_RESOLVED = {
    "approved": "{} is approved",
    "denied": "{} is denied",
    "signalled": "{} has the signal that it waited for",
    "succeeded": "{} counts as done",
    "failed": "{} counts as failed",
    "retry": "{} is done again",
}
_STANDING: dict[str, str] = {
    "submitted": "it goes on as soon as a process takes it up",
    "running": "it runs",
    "waiting": "it waits",
    "parked": "it waits for a person",
    "compensated": "what it had done is undone",
    "dead_lettered": "it is a dead letter",
}


def why(decision: WaitOpened) -> str:
    """What a person must decide."""
    about = decision.about
    told = msgspec.json.decode(about.inline) if about is not None and about.ref is None else None
    return told if isinstance(told, str) else f"{decision.name}: a person must decide"


def in_short(degraded: Mapping[str, str]) -> str:
    """Which steps gave less than was asked for, and why, on one line; nothing if none did."""
    told = "; ".join(f"{key}: {why}" for key, why in list(degraded.items())[:MOST_TOLD])
    more = len(degraded) - MOST_TOLD
    return told + (f"; and {more} more" if more > 0 else "")


def because(what: str, by: str, reason: str) -> str:
    """What was done, by whom and for which reason, as far as that was said."""
    return what + (f" by {by}" if by else "") + (f": {reason}" if reason else "")


def became(event: Event, status: JobStatus | str) -> str:
    """What a message to a job has become, and how the job stands now."""
    return f"{_became(event)}; {_STANDING.get(status, f'it is {status}')}"


def _became(event: Event) -> str:
    match event:
        case WaitResolved(how=how, key=key) if how in _RESOLVED:
            return _RESOLVED[how].format(repr(key))
        case SignalReceived(name=name):
            return f"the signal {name!r} is kept until it is waited for"
        case PauseRequested():
            return "nothing more of it is begun"
        case Resumed():
            return "the pause is over"
        case CancelRequested():
            return "it is asked to end"
    return tag_of(event)
