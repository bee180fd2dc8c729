"""`EffectRecord`: what is known of one effect, and what that means for whoever wants it done. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from mesh.protocols.envelope import NULL
from mesh.protocols.errors import (
    BreakerOpen,
    Cancelled,
    DeadlineExceeded,
    Fault,
    HandlerFailed,
    InDoubt,
    MeshError,
    NoBids,
    NoResponders,
    UnknownAgent,
    UnknownCapability,
    UnknownCommand,
)
from mesh.resilience.retry import not_begun

EffectClass = Literal["idempotent", "at_most_once"]
"""`idempotent`: the target honours the key, so it may be called again. `at_most_once`: it does not."""
Stage = Literal["begun", "open", "done"]
"""`begun`: somebody calls the target now, or died doing so. `open`: the call ended, and how is not known. `done`: it is."""
Next = Literal["call", "recall", "wait", "doubt"]


class EffectRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One effect as it is stored. Done, it has an `outcome` (JSON) or a `fault`.

    `by` and `incarnation` name the process that calls the target, `listed` says whether the registry knew it; `calls`
    counts, `began` is when the first was (Unix seconds); `beat` changes with each sign of life, of which there are several
    in `lease` seconds.
    """

    key: str
    effect: EffectClass
    stage: Stage
    by: str = ""
    incarnation: str = ""
    listed: bool = False
    calls: int = 1
    began: float = 0.0
    beat: int = 0
    lease: float = 0.0
    outcome: msgspec.Raw = NULL
    fault: Fault | None = None


def what_next(record: EffectRecord | None, effect: EffectClass, *, over: bool) -> Next:
    """What to do about an effect of which this is known; `over`: whoever calls has given no sign of life for a lease.

    An effect that was begun as at-most-once stays so, whatever is asked for now.
    """
    if record is None:
        return "call"
    if record.stage == "done":
        return "recall"
    if record.stage == "begun" and not over:
        return "wait"
    return "doubt" if "at_most_once" in (record.effect, effect) else "call"


_OPEN = (InDoubt, Cancelled, DeadlineExceeded, HandlerFailed)
_NOT_SENT = (NoResponders, BreakerOpen, UnknownAgent, UnknownCommand, UnknownCapability, NoBids)


def definite(error: MeshError) -> bool:
    """Whether the target's answer is final: the same call again would have it again."""
    return error.error_class == "semantic" and not isinstance(error, _OPEN)


def never_happened(error: BaseException) -> bool:
    """Whether the target was certainly not reached."""
    return not_begun(error) or isinstance(error, _NOT_SENT)


def doubt(key: str, agent: str, tenant: str, why: str = "whoever called it was lost") -> InDoubt:
    """What to raise for an effect of which nobody knows whether it happened, with the way out."""
    whose = repr(agent) if tenant == "default" else f"{agent!r}, tenant={tenant!r}"
    return InDoubt(
        f"effect {key!r} of {agent} may or may not have happened: it may be done at most once, its target was called, and "
        f"{why}. Look there. If it happened: `await mesh.peer.effects({whose}).resolve({key!r}, value)` with what came of "
        f"it; if not: the same with `.forget({key!r})`, and the next `once` calls again",
        detail={"key": key, "agent": agent, "tenant": tenant},
    )
