"""`Divergence`: where a workflow does something else than its journal says it did, both sides of it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mesh.jobs.replay.differences import differences, short
from mesh.protocols.errors import ReplayDiverged
from mesh.protocols.job_events import StepKind, Value, WaitOpened
from mesh.protocols.job_step_state import StepState
from mesh.protocols.submission import digest_of

SMALL = 2048
"""Bytes up to which a step's input is journaled beside its digest, so that a difference can be shown and not only told."""

Kind = Literal["step", "input", "wait", "unasked", "raised", "outcome", "beyond"]
"""`step`: another name or kind under the same key. `unasked`: the journal has more than the workflow asks for. `raised`: its
code raises where it went on before. `outcome`: it ends in another way. `beyond`: it goes on where it ended before."""


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """The place, `journaled` and `asked` in words, and what is different in the two inputs, where both are known."""

    key: str
    kind: Kind
    journaled: str
    asked: str
    diff: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """Both sides in a sentence."""
        place = f"at {self.key!r} " if self.key else ""
        told = f" ({'; '.join(self.diff)})" if self.diff else ""
        return f"{place}the journal has {self.journaled}, and the workflow now {self.asked}{told}"

    def error(self) -> ReplayDiverged:
        """As an error that names both sides."""
        return ReplayDiverged(
            f"{self.message}: give the changed workflow a new version, or guard the change with job.patched(…)",
            detail=msgspec.to_builtins(self),
        )


def step_differs(known: StepState, name: str, kind: StepKind, given: msgspec.Raw) -> Divergence | None:
    """What is different about a step of the same key; None: nothing."""
    same = (known.name, known.kind) == (name, kind) or not known.name
    if not same and (_own(known.name), known.kind) != (_own(name), kind):
        return Divergence(
            key=known.key,
            kind="step",
            journaled=_step(known.kind, known.name),
            asked=f"asks for {_step(kind, name)}",
        )
    if not known.digest or (known.input is not None and bytes(known.input.inline) == bytes(given)):
        return None
    digest = digest_of(given)
    if known.digest == digest:
        return None
    before, now = _kept(known.input), _small(given)
    lines = differences(before[0], now[0]) if before and now else ()
    return Divergence(
        key=known.key,
        kind="input",
        journaled=f"{_step(known.kind, known.name)} with the input {_told(before, known.digest)}",
        asked=f"gives it {_told(now, digest)}",
        diff=tuple(lines),
    )


def wait_differs(known: WaitOpened, opened: WaitOpened) -> Divergence | None:
    """The same for a wait."""
    if (known.kind, known.name, known.digest) == (opened.kind, opened.name, opened.digest):
        return None
    before, now = _small_value(known.about), _small_value(opened.about)
    about = " about something else" if (known.kind, known.name) == (opened.kind, opened.name) else ""
    return Divergence(
        key=known.key,
        kind="wait",
        journaled=f"a wait: {known.kind} {known.name!r}",
        asked=f"waits for: {opened.kind} {opened.name!r}{about}",
        diff=tuple(differences(before[0], now[0])) if before and now else (),
    )


def small(raw: msgspec.Raw) -> Value | None:
    """The input as it is journaled beside its digest, if it is small."""
    return Value(inline=raw) if len(bytes(raw)) <= SMALL else None


def _own(name: str) -> str:
    """A function's name without that of the function it stands in: that one may well have been renamed."""
    return name.rpartition("<locals>.")[2]


def _step(kind: StepKind, name: str) -> str:
    return {"call": "a call of", "local": "a local step,", "branch": "a branch,"}[kind] + f" {name!r}"


def _small(raw: msgspec.Raw) -> tuple[Any] | None:
    return (msgspec.json.decode(raw),) if len(bytes(raw)) <= SMALL else None


def _kept(value: Value | None) -> tuple[Any] | None:
    return None if value is None else _small(value.inline)


def _small_value(value: Value | None) -> tuple[Any] | None:
    return (None,) if value is None else None if value.ref is not None else _small(value.inline)


def _told(known: tuple[Any] | None, digest: str) -> str:
    """Where an input is too large to be kept, its digest; an old checkout with `mesh job replay` shows the whole of it."""
    return short(known[0]) if known else digest[:19] + "…"
