"""What happens to a job, in the past tense, and the `Entry` that journals it.

The events themselves stand by family in `job_life_events`, `job_step_events`, `job_wait_events`, `job_saga_events` and
`job_history_events`; this is the one place to import them from.

An entry is a list of events appended at once, under one compare-and-set on the job's exact subject. Its fields `epoch` and
`previous` are what readers fence by; its `head` sums the job up, so that a listing needs only each journal's last entry.

The union is open at its end: a later release may write events that this one does not know. They are kept as `Unknown`,
and a job that has one is shown, and not owned, here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.protocols.envelope import NULL
from mesh.protocols.errors import JournalCorrupt
from mesh.protocols.job_facts import JobEvent, JobStatus, Onward, StepKind, Value
from mesh.protocols.job_history_events import Archived, FlagRead, Forked, PatchMarker, Snapshot
from mesh.protocols.job_life_events import (
    Cancelled,
    Compensated,
    Completed,
    DeadLettered,
    Failed,
    OwnerClaimed,
    OwnerReleased,
    Parent,
    Parked,
    Paused,
    Submitted,
    Suspended,
    Woken,
)
from mesh.protocols.job_saga_events import CompFailed, CompStarted, CompSucceeded
from mesh.protocols.job_step_events import (
    ArtifactPut,
    Awarded,
    Progressed,
    StepFailed,
    StepInDoubt,
    StepRetried,
    StepStarted,
    StepSucceeded,
)
from mesh.protocols.job_wait_events import (
    CancelRequested,
    How,
    InboxPassed,
    PauseRequested,
    Resumed,
    SignalReceived,
    WaitKind,
    WaitOpened,
    WaitResolved,
)


class Unknown(JobEvent, frozen=True, tag="unknown"):
    """An event of a later release: its type, and what it said."""

    type_name: str
    content: msgspec.Raw


Life = (
    Submitted | OwnerClaimed | OwnerReleased | Suspended | Parked | Paused | Woken
    | Completed | Failed | Cancelled | Compensated | DeadLettered
)  # fmt: skip
Step = StepStarted | Awarded | StepRetried | StepSucceeded | StepFailed | StepInDoubt
Wait = WaitOpened | WaitResolved | SignalReceived
Control = CancelRequested | PauseRequested | Resumed | InboxPassed
Saga = CompStarted | CompSucceeded | CompFailed
History = PatchMarker | FlagRead | Forked | Snapshot | Archived
Trace = ArtifactPut | Progressed
Event = Life | Step | Wait | Control | Saga | History | Trace | Unknown
"""Every event."""


class OpenWait(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a job waits for, in one line; the fields are those of `WaitOpened`."""

    key: str
    kind: WaitKind
    name: str = ""
    digest: str = ""
    risk: str = ""
    until: float | None = None


class JobHead(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A job in one line. `submitted_at` is Unix seconds by the server's clock, 0 in a first entry that knows none yet.

    `waits` are those that are open, at most `MOST_WAITS`. `inbox` is the sequence of the last message of the inbox that is
    journaled; `snapshot` that of the last entry with a snapshot, of those before this one.
    """

    workflow: str
    version: int
    tenant: str
    state: JobStatus
    owner: str = ""
    incarnation: str = ""
    submitted_at: float = 0.0
    priority: int = 2
    waits: tuple[OpenWait, ...] = ()
    inbox: int = 0
    snapshot: int = 0


MOST_WAITS = 32
"""Open waits that a head names; there may be more."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is stored: one message of a journal.

    `previous` is the sequence of the message before it on the same subject (0: none). `owner` is the process that wrote it
    under `epoch`. `at` is job time: the server's timestamp of the owner's claim plus what has passed since, never a
    peer's wall clock; 0 means that the message's own timestamp counts.
    """

    id: str
    job: str
    tenant: str
    head: JobHead
    events: tuple[Event, ...]
    epoch: int = 0
    owner: str = ""
    previous: int = 0
    at: float = 0.0


class _Loose(msgspec.Struct, kw_only=True):
    events: tuple[msgspec.Raw, ...]


class _Type(msgspec.Struct):
    type: str


def tag_of(event: JobEvent) -> str:
    """The event's type as it stands on the wire."""
    return str(type(event).__struct_config__.tag)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)
_event_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Event)
_loose_decoder = msgspec.json.Decoder(_Loose)
_type_decoder = msgspec.json.Decoder(_Type)


def encode_entry(entry: Entry) -> bytes:
    """The entry as JSON bytes."""
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """The entry in `data`; events that this release does not know become `Unknown`, and the head is without waits of a kind
    that it does not know.

    Raises:
        JournalCorrupt: it is no entry at all.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        plain = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        events = tuple(_known(each) for each in _loose_decoder.decode(data).events)
        plain["events"] = msgspec.Raw(b"[]")
        plain["head"] = _known_head(plain.get("head", NULL))
        entry = _decoder.decode(_encoder.encode(plain))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise JournalCorrupt(f"a stored message is not a journal entry: {error}") from None
    return msgspec.structs.replace(entry, events=events)


def _known_head(data: msgspec.Raw) -> msgspec.Raw:
    head = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    if "waits" in head:
        waits = msgspec.json.decode(head["waits"], type=list[msgspec.Raw])
        head["waits"] = msgspec.Raw(_encoder.encode([each for each in waits if _is_known(each)]))
    return msgspec.Raw(_encoder.encode(head))


def _is_known(wait: msgspec.Raw) -> bool:
    try:
        msgspec.json.decode(wait, type=OpenWait)
    except (msgspec.MsgspecError, ValueError):
        return False
    return True


def _known(data: msgspec.Raw) -> Event:
    try:
        event: Event = _event_decoder.decode(data)
    except (msgspec.ValidationError, ValueError):
        return Unknown(type_name=_type_decoder.decode(data).type, content=msgspec.Raw(bytes(data)))
    return event


__all__ = [
    "MOST_WAITS",
    "Archived",
    "ArtifactPut",
    "Awarded",
    "CancelRequested",
    "Cancelled",
    "CompFailed",
    "CompStarted",
    "CompSucceeded",
    "Compensated",
    "Completed",
    "Control",
    "DeadLettered",
    "Entry",
    "Event",
    "Failed",
    "FlagRead",
    "Forked",
    "History",
    "How",
    "InboxPassed",
    "JobEvent",
    "JobHead",
    "JobStatus",
    "Life",
    "Onward",
    "OpenWait",
    "OwnerClaimed",
    "OwnerReleased",
    "Parent",
    "Parked",
    "PatchMarker",
    "PauseRequested",
    "Paused",
    "Progressed",
    "Resumed",
    "Saga",
    "SignalReceived",
    "Snapshot",
    "Step",
    "StepFailed",
    "StepInDoubt",
    "StepKind",
    "StepRetried",
    "StepStarted",
    "StepSucceeded",
    "Submitted",
    "Suspended",
    "Trace",
    "Unknown",
    "Value",
    "Wait",
    "WaitKind",
    "WaitOpened",
    "WaitResolved",
    "Woken",
    "decode_entry",
    "encode_entry",
    "tag_of",
]  # fmt: skip
