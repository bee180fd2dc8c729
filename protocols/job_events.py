"""What happens to a job, in the past tense, and the `Entry` that journals it.

An entry is a list of events appended at once, under one compare-and-set on the job's exact subject. Its fields `epoch` and
`previous` are what readers fence by; its `head` sums the job up, so that a listing needs only each journal's last entry.

The union is open at its end: a later release may write events that this one does not know. They are kept as `Unknown`,
and a job that has one is shown, and not owned, here.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mesh.protocols.artifacts import Artifact
from mesh.protocols.awards import AwardRecord
from mesh.protocols.constraints import Constraints, Effect, Usage
from mesh.protocols.envelope import NULL, Stamps
from mesh.protocols.errors import Fault, JournalCorrupt
from mesh.protocols.references import Reference

JobStatus = Literal[
    "submitted",
    "running",
    "waiting",
    "paused",
    "completed",
    "failed",
    "cancelled",
    "compensated",
    "dead_lettered",
]
"""What `job ls` shows. `submitted`: stored, and nobody drives it now."""

StepKind = Literal["call", "local", "branch"]
"""`call`: awarded to an agent. `local`: run by the owner. `branch`: several steps that were given one time limit."""


class Value(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A JSON value: `inline`, or, above 64 KiB, the object that `ref` names."""

    inline: msgspec.Raw = NULL
    ref: Reference | None = None


class JobEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="type"):
    """Every event of a job."""


# -- the life of the job


class Submitted(JobEvent, frozen=True, tag="submitted"):
    """The job exists. Always the first event.

    `digest` is that of the input, so that a key that is used again with another input is noticed. `deadline` is in seconds
    from submission, null for none. `received_at` is the server's timestamp of the message in the ingress stream, and 0
    where there was none: then the entry's own timestamp counts. `source` is `stream:<name>:<sequence>` or `request`.
    """

    workflow: str
    version: int
    input: Value
    digest: str
    constraints: Constraints = Constraints()
    deadline: float | None = None
    key: str = ""
    source: str = "request"
    received_at: float = 0.0
    correlation: str = ""
    causation: str = ""
    trace: str = ""


class OwnerClaimed(JobEvent, frozen=True, tag="owner.claimed"):
    """A process drives the job from here on, under the entry's epoch. `incarnation` tells a restarted process apart."""

    process: str
    incarnation: str = ""


class OwnerReleased(JobEvent, frozen=True, tag="owner.released"):
    """The owner handed the job back: anybody may claim it at once."""

    reason: str


class Completed(JobEvent, frozen=True, tag="completed"):
    """The workflow returned."""

    output: Value


class Failed(JobEvent, frozen=True, tag="failed"):
    """The workflow raised."""

    fault: Fault


class Cancelled(JobEvent, frozen=True, tag="cancelled"):
    """The workflow ended because somebody asked it to."""

    fault: Fault


class DeadLettered(JobEvent, frozen=True, tag="dead_lettered"):
    """Nobody will drive the job until a person decides. `letter` is the message id of its dead letter."""

    fault: Fault
    letter: str = ""


# -- steps


class StepStarted(JobEvent, frozen=True, tag="step.started"):
    """The step is about to run: journaled before its effect. A step that is awarded carries the award.

    `digest` is that of the input; `attempt` counts from 1 and goes up when a new owner runs the step again.
    """

    key: str
    name: str
    kind: StepKind
    digest: str
    effect: Effect = "costly"
    attempt: int = 1
    award: AwardRecord | None = None


class Awarded(JobEvent, frozen=True, tag="award"):
    """The step was given to somebody else: the last winner declined or was lost."""

    key: str
    award: AwardRecord


class StepSucceeded(JobEvent, frozen=True, tag="step.succeeded"):
    """The step's result. `name`, `kind` and `digest` stand here where no `step.started` said them. `by` is `<agent>.<instance>`."""

    key: str
    output: Value
    name: str = ""
    kind: StepKind = "call"
    digest: str = ""
    usage: Usage = Usage()
    stamps: Stamps = Stamps()
    by: str = ""


class StepFailed(JobEvent, frozen=True, tag="step.failed"):
    """The step failed for good: whoever runs the workflow again meets the same error here."""

    key: str
    fault: Fault
    name: str = ""
    kind: StepKind = "call"
    digest: str = ""
    usage: Usage = Usage()
    by: str = ""


class StepInDoubt(JobEvent, frozen=True, tag="step.in_doubt"):
    """An at-most-once step was started and its owner was lost: its effect may or may not have happened."""

    key: str
    reason: str


# -- what steps leave behind


class ArtifactPut(JobEvent, frozen=True, tag="artifact.put"):
    """The job has one more artifact."""

    artifact: Artifact


class Progressed(JobEvent, frozen=True, tag="progressed"):
    """The workflow, or an agent working for it, said how far it is. Shown, never decided by."""

    text: str
    step: str = ""


class Unknown(JobEvent, frozen=True, tag="unknown"):
    """An event of a later release: its type, and what it said."""

    type_name: str
    content: msgspec.Raw


Life = Submitted | OwnerClaimed | OwnerReleased | Completed | Failed | Cancelled | DeadLettered
Step = StepStarted | Awarded | StepSucceeded | StepFailed | StepInDoubt
Trace = ArtifactPut | Progressed
Event = Life | Step | Trace | Unknown
"""Every event. Waits, compensation, budgets, control, patches and snapshots get families of their own beside these."""


class JobHead(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A job in one line. `submitted_at` is Unix seconds by the server's clock, 0 in a first entry that knows none yet."""

    workflow: str
    version: int
    tenant: str
    state: JobStatus
    owner: str = ""
    incarnation: str = ""
    submitted_at: float = 0.0


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
    """The entry in `data`; events that this release does not know become `Unknown`.

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
        entry = _decoder.decode(_encoder.encode(plain))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise JournalCorrupt(f"a stored message is not a journal entry: {error}") from None
    return msgspec.structs.replace(entry, events=events)


def _known(data: msgspec.Raw) -> Event:
    try:
        event: Event = _event_decoder.decode(data)
    except (msgspec.ValidationError, ValueError):
        return Unknown(type_name=_type_decoder.decode(data).type, content=msgspec.Raw(bytes(data)))
    return event
