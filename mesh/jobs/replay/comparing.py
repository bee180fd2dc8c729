"""Comparing two jobs: what came of them, which steps they took, what each gave, and what it cost in money, tokens and time."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.jobs.journals.values import Values
from mesh.jobs.replay.course import asked_for
from mesh.jobs.replay.differences import differences
from mesh.protocols.job_events import Value
from mesh.protocols.job_state import JobState
from mesh.protocols.job_step_state import StepState

Row = dict[str, Any]


async def compare(a: JobState, b: JobState, values: Values) -> Row:
    """Both sides of everything that can be different; the keys are stable. `change` of a step is `added`, `gone`, `output`,
    `outcome` or `same`; `seconds` are from the first owner to the last entry."""
    return {
        "a": _about(a),
        "b": _about(b),
        "input": await _values_differ(_input(a), _input(b), values),
        "outcome": {
            "a": _outcome(a),
            "b": _outcome(b),
            "diff": await _values_differ(a.output, b.output, values),
        },
        "steps": [await _step(key, a.steps.get(key), b.steps.get(key), values) for key in _keys(a, b)],
        "cost": {name: {"a": getattr(a.usage, name), "b": getattr(b.usage, name)} for name in ("money", "tokens_in", "tokens_out", "tool_calls")},
        "seconds": {"a": _seconds(a), "b": _seconds(b)},
    }  # fmt: skip


def _about(state: JobState) -> Row:
    head = state.head
    return {
        "id": state.job,
        "workflow": head.workflow if head else "",
        "version": head.version if head else 0,
        "state": state.status,
        "forked_from": state.forked.job if state.forked else None,
        "changes": list(state.forked.changes) if state.forked else [],
    }


def _input(state: JobState) -> Value | None:
    return state.submitted.input if state.submitted else None


def _outcome(state: JobState) -> str:
    return f"{state.fault.code}: {state.fault.message}" if state.fault else state.status


def _keys(a: JobState, b: JobState) -> list[str]:
    """In the order in which they were taken, those of `a` first."""
    mine = [key for key in a.steps if asked_for(a, key)]
    return mine + [key for key in b.steps if asked_for(b, key) and key not in a.steps]


async def _step(key: str, a: StepState | None, b: StepState | None, values: Values) -> Row:
    lines = await _values_differ(a.output, b.output, values) if a and b else []
    if a is None or b is None:
        change = "added" if a is None else "gone"
    elif a.state != b.state or (a.fault and a.fault.code) != (b.fault and b.fault.code):
        change = "outcome"
    else:
        change = "output" if lines else "same"
    return {"key": key, "change": change, "a": _side(a), "b": _side(b), "diff": lines}


def _side(step: StepState | None) -> Row | None:
    if step is None:
        return None
    return {
        "state": step.state,
        "by": step.by or None,
        "error": f"{step.fault.code}: {step.fault.message}" if step.fault else None,
        "seconds": round(max(0.0, step.ended_at - step.started_at), 3) if step.ended_at else None,
        "money": step.usage.money,
    }


async def _values_differ(a: Value | None, b: Value | None, values: Values) -> list[str]:
    if a is None or b is None or a == b:
        return []
    return differences(*[msgspec.json.decode(await values.load(each)) for each in (a, b)])


def _seconds(state: JobState) -> float:
    return round(max(0.0, state.updated_at - state.claims[0].at), 3) if state.claims else 0.0
