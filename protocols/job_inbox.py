"""What may be said to a job, and what the job makes of it.

A message of a job's inbox is JSON, so that any NATS client can send one: `{"type": "approve", "key": "publish", …}`. It is
stored before anybody acts on it, and becomes exactly one event of the journal: `taken` says which. Who decides that is
whoever owns the job, or, where nobody does, whoever hears of it.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import msgspec

from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import NULL
from mesh.protocols.errors import BadPayload, Fault
from mesh.protocols.job_events import (
    CancelRequested,
    Event,
    How,
    InboxPassed,
    PauseRequested,
    Resumed,
    SignalReceived,
    Value,
    WaitResolved,
)
from mesh.protocols.job_state import JobState
from mesh.protocols.job_wait_state import WaitState
from mesh.protocols.references import LIMIT, Reference
from mesh.protocols.submission import digest_of, read_input

MOST_BYTES = LIMIT + 16 * 1024
"""Of a message: what a value may have that stands in it, and room for the rest."""
MOST_SIGNALS = 1000
"""Signals that a job keeps for later; those beyond are passed over."""


class InboxMessage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="type"):
    """Everything that may be said to a job. `by` is who says it, `reason` why."""

    by: str = ""
    reason: str = ""


class Approve(InboxMessage, frozen=True, kw_only=True, tag="approve"):
    """Yes to the action that `digest` names exactly, at the wait `key`."""

    key: str
    digest: str


class Deny(InboxMessage, frozen=True, kw_only=True, tag="deny"):
    """No to it."""

    key: str
    digest: str


class Telling(InboxMessage, frozen=True, kw_only=True):
    """A message with a JSON `value` for the workflow, or, where that is large, the object that `ref` names."""

    value: msgspec.Raw = NULL
    ref: Reference | None = None

    def kept(self) -> Value:
        """The value as the journal carries it."""
        return Value(inline=self.value, ref=self.ref)


class SendSignal(Telling, frozen=True, kw_only=True, tag="signal"):
    """Something that the workflow waits for by name, or will."""

    name: str


class Cancel(InboxMessage, frozen=True, kw_only=True, tag="cancel"):
    """End the job, and undo what it says how to undo."""


class Pause(InboxMessage, frozen=True, kw_only=True, tag="pause"):
    """Begin nothing more; with `now`, also stop what is under way: it is done again later."""

    now: bool = False


class Resume(InboxMessage, frozen=True, kw_only=True, tag="resume"):
    """Go on."""


class Resolve(Telling, frozen=True, kw_only=True, tag="resolve"):
    """What became of a step in doubt, or what is to be done with a compensation that failed, at the wait `key`."""

    key: str
    how: Literal["succeeded", "failed", "retry"]


class ChildEnded(InboxMessage, frozen=True, kw_only=True, tag="child.ended"):
    """The child of the wait `key` is over, or will be in a moment: its journal says whether, and how."""

    key: str
    job: str


Said = Approve | Deny | SendSignal | Cancel | Pause | Resume | Resolve | ChildEnded

_decoder: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)


def read_said(data: bytes) -> Said:
    """What a message says.

    Raises:
        BadPayload: nothing that a job understands, more than it takes, or a value that whoever waits could not read.
    """
    if len(data) > MOST_BYTES:
        raise BadPayload(f"{len(data)} bytes, {MOST_BYTES} are allowed: a large value goes by reference (`ref`)")
    try:
        said = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadPayload(f"no message for a job: {error}") from None
    if isinstance(said, Telling):
        read_input(bytes(said.value))
    return said


class ChildOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a child ended: its `output`, or its `fault`, what it has used, and why its result is less than was asked for."""

    output: Value | None = None
    fault: Fault | None = None
    usage: Usage = Usage()
    degraded: str = ""


def taken(state: JobState, said: Said, sequence: int, time: float, child: ChildOutcome | None = None) -> Event:
    """The event that a message becomes. `time` is the server's timestamp of it; `child` is how the child of a `ChildEnded` did
    end, None if it did not yet."""
    match said:
        case Cancel() if state.cancel is None:
            return CancelRequested(by=said.by, reason=said.reason, inbox=sequence)
        case Pause() if state.cancel is None:
            return PauseRequested(by=said.by, reason=said.reason, now=said.now, inbox=sequence)
        case Resume() if state.pause is not None:
            return Resumed(by=said.by, reason=said.reason, inbox=sequence)
        case SendSignal():
            return _signal(state, said, sequence, time)
        case Approve() | Deny() | Resolve() | ChildEnded():
            return _answer(state, said, sequence, time, child)
    return _passed(said, sequence, _idle(state, said))


def unreadable(sequence: int, reason: str) -> InboxPassed:
    """The event that a message becomes which says nothing."""
    return InboxPassed(inbox=sequence, message="", reason=reason)


def echoed(said: Said, sequence: int, first: int) -> InboxPassed:
    """The event that a copy becomes of what was said at `first`, under the same message id."""
    return _passed(said, sequence, f"it was said before: it is a copy of message {first}")


def said_as(said: Said) -> str:
    """The message's type as it stands on the wire."""
    return str(said.__struct_config__.tag)


def said_once(said: Said, key: str) -> str:
    """What tells a message with this key from others to the same job: signals of two names are two things."""
    name = f"{quote(said.name, safe='')}." if isinstance(said, SendSignal) else ""
    return f"{said_as(said)}.{name}{key}"


def same_said(one: Said, other: Said) -> bool:
    """Whether both say the same to the job, whoever does and for whatever reason."""
    return _essence(one) == _essence(other)


def _essence(said: Said) -> Said:
    if isinstance(said, Telling):
        said = msgspec.structs.replace(said, value=msgspec.Raw(digest_of(said.value).encode()))
    return msgspec.structs.replace(said, by="", reason="")


def _signal(state: JobState, said: SendSignal, sequence: int, time: float) -> Event:
    """Those that wait are served in the order in which they began to, by the signals in the order in which they came."""
    earlier = any(each.name == said.name for each in state.signals)
    waiting = [each for each in state.open_waits if each.opened.kind == "signal" and each.opened.name == said.name]
    for each in () if earlier else waiting:
        if not each.due(time):
            return WaitResolved(
                key=each.opened.key, how="signalled", value=said.kept(), by=said.by, reason=said.reason, at=time, inbox=sequence
            )  # fmt: skip
    if len(state.signals) >= MOST_SIGNALS:
        return _passed(said, sequence, f"{MOST_SIGNALS} signals wait already")
    return SignalReceived(name=said.name, inbox=sequence, value=said.kept(), by=said.by)


def _answer(
    state: JobState, said: Approve | Deny | Resolve | ChildEnded, sequence: int, time: float, child: ChildOutcome | None
) -> Event:
    wait = state.waits.get(said.key)
    objection = _objection(wait, said, time)
    if not objection and isinstance(said, ChildEnded) and child is None:
        objection = f"job {said.job} is not over yet; it is asked after again"
    if wait is None or objection:
        return _passed(said, sequence, objection)
    how, value, fault = _verdict(said, child)
    return WaitResolved(
        key=said.key, how=how, value=value, fault=fault, by=said.by, reason=said.reason, at=time, inbox=sequence,
        usage=child.usage if child else Usage(), degraded=child.degraded if child else "",
    )  # fmt: skip


def _verdict(
    said: Approve | Deny | Resolve | ChildEnded, child: ChildOutcome | None
) -> tuple[How, Value | None, Fault | None]:
    match said:
        case Approve():
            return "approved", None, None
        case Deny():
            return "denied", None, None
        case Resolve():
            return said.how, said.kept(), None
        case ChildEnded():
            return "ended", child.output if child else None, child.fault if child else None


def _objection(wait: WaitState | None, said: Approve | Deny | Resolve | ChildEnded, time: float) -> str:
    """Why the message is no answer to what is waited for, or nothing."""
    if wait is None:
        return f"nothing waits at {said.key!r}"
    opened, answer = wait.opened, wait.answer
    if opened.kind != _KINDS[type(said)]:
        return f"{said.key!r} waits for a {opened.kind}"
    if answer is not None:
        return f"{said.key!r} was {answer.how} before" + (f" by {answer.by}" if answer.by else "")
    if isinstance(said, ChildEnded) and said.job != opened.child:
        return f"{said.key!r} waits for another job"
    if isinstance(said, Approve | Deny) and said.digest != opened.digest:
        return f"{said.key!r} is about another action than the one that was answered"
    return f"{said.key!r} had expired" if wait.due(time) else ""


def _idle(state: JobState, said: Said) -> str:
    if isinstance(said, Resume):
        return "the job is not paused"
    return "the job is being cancelled already"


def _passed(said: Said, sequence: int, reason: str) -> InboxPassed:
    return InboxPassed(inbox=sequence, message=said_as(said), reason=reason, by=said.by)


_KINDS = {Approve: "approval", Deny: "approval", Resolve: "resolution", ChildEnded: "child"}
