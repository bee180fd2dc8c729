"""Whom a job waits for, and the command that answers. `mesh submit` and `mesh job result` end with exit code 6 over it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from typing import Annotated

import msgspec
import typer

from mesh.protocols.job_events import WaitOpened
from mesh.protocols.job_state import JobState
from mesh.protocols.job_wait_state import WaitState
from mesh.protocols.policies import switch_in

UntilAwaited = Annotated[
    bool | None,
    typer.Option(
        "--until-awaited/--to-the-end",
        help="End with exit code 6 once the job waits for a person (the default where stdin is no terminal), or wait on.",
        show_default=False,
    ),
]


def ends_when_awaited(said: bool | None) -> bool:
    """What the option says; where it says nothing, whether nobody sits there who could be asked."""
    return not sys.stdin.isatty() if said is None else said


def awaits_somebody(state: JobState) -> bool:
    """Whether nothing will happen to the job until a person says something."""
    return state.status in ("waiting", "parked", "paused") and any(_answers(state))


def at_the_end(state_now: JobState | None) -> Callable[[JobState], bool]:
    """Says when to stop following: where somebody is awaited, but not at what was answered before the following began."""
    known = state_now.sequence if state_now is not None else 0
    return lambda state: state.sequence >= known and awaits_somebody(state)


def awaited(state: JobState) -> str:
    """What the job waits for, and what to type."""
    return f"job {state.job} waits for somebody:\n" + "\n".join(f"  {each}" for each in _answers(state))


def answer_to(job: str, wait: WaitState) -> str:
    """What is awaited there, and the command that answers it; empty where no person is asked."""
    opened, key = wait.opened, shlex.quote(wait.opened.key)
    if opened.kind == "approval":
        risk = f", risk {opened.risk}" if opened.risk else ""
        return f"approval of {opened.name!r}{risk}: `mesh approvals show {job} {key}`, then `mesh approvals approve|deny {job} {key}`"
    if opened.kind == "resolution":
        key = shlex.quote(opened.name if opened.name and opened.key.startswith(opened.name) else opened.key)
        told = msgspec.json.decode(opened.about.inline) if opened.about is not None else ""
        why = told if isinstance(told, str) else opened.name
        return f"{why}: `mesh job resolve {job} {key} --succeeded JSON|--failed WHY|--retry`"
    return ""


def waits(state: JobState) -> Iterator[str]:
    """Everything that the job waits for, as `mesh job show` tells it: people, and also signals and other jobs."""
    yield from _answers(state)
    for wait in state.open_waits:
        opened = wait.opened
        if opened.kind == "signal":
            yield f"the signal {opened.name!r}: `mesh job signal {state.job} {shlex.quote(opened.name)} VALUE`"
        elif opened.kind == "killed":
            yield _to_be_allowed(opened)
        elif opened.kind == "child":
            yield f"its child, a job of {opened.name!r}: `mesh job show {opened.child}`"


def _to_be_allowed(opened: WaitOpened) -> str:
    """Who killed it and why, and the command that allows it."""
    told = str(msgspec.json.decode(opened.about.inline)) if opened.about is not None else opened.name
    switch = switch_in(opened.name, "")
    return f"{told}: `mesh allow {switch.what} {shlex.quote(switch.name)}`" if switch else told


def _answers(state: JobState) -> Iterator[str]:
    for wait in state.open_waits:
        answer = answer_to(state.job, wait)
        if answer:
            yield answer
    if state.pause is not None:
        by = f" by {state.pause.by}" if state.pause.by else ""
        yield f"paused{by}: `mesh job resume {state.job}`"
