"""What people and programs are shown of jobs: rows for `job ls`, the whole for `job show`. The keys are stable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.archived import archived_parts
from mesh.jobs.outside.timeline import Span, spans
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.job_events import JobEvent, JobHead, Value, tag_of
from mesh.protocols.job_state import Recorded, fold
from mesh.protocols.job_step_state import StepState
from mesh.protocols.scoring import likely

Row = dict[str, Any]

FIELDS = ("id", "workflow", "version", "tenant", "state", "owner", "submitted_at")
"""The keys of a row, in order."""

SHOWN = 64 * 1024
"""Values above this many bytes are shown as the reference they are."""


def row(job: str, head: JobHead, submitted_at: float) -> Row:
    """One job in one line; `submitted_at` in ISO 8601, UTC; `owner` null where nobody drives it."""
    return {
        "id": job,
        "workflow": head.workflow,
        "version": head.version,
        "tenant": head.tenant,
        "state": head.state,
        "owner": head.owner or None,
        "submitted_at": iso(submitted_at),
    }


async def list_jobs(
    journals: Journals, *, tenant: str = "*", state: str = "", workflow: str = "", limit: int | None = None
) -> list[Row]:
    """Jobs, the latest first; of one tenant, in one state, of one workflow, if so asked."""
    heads = [
        (each.entry.job, each.entry.head, each.entry.head.submitted_at or each.time)
        for each in await journals.heads(tenant)
        if (not state or each.entry.head.state == state) and (not workflow or each.entry.head.workflow == workflow)
    ]
    heads.sort(key=lambda each: each[2], reverse=True)
    return [row(*each) for each in heads[:limit]]


async def show_job(
    journals: Journals, values: Values, job: str, *, why_waiting: Callable[[JobHead], str] = lambda head: ""
) -> Row:
    """Everything about one job: its row, then input, result or error, steps, awards with every bid and the reason of each
    choice, artifacts, progress, owners and usage. `why_waiting` says why nobody drives it, if that is known.

    Raises:
        UnknownJob: there is none of that id.
    """
    found = await journals.find(job)
    records = await journals.read(found.entry.tenant, found.entry.job)
    state = fold(records)
    head, submitted = state.head, state.submitted
    assert head is not None
    if state.archived is not None:
        result = await _shown(values, state.output) if state.output else None
        ended = {"result": result, "updated_at": iso(found.time)}
        return {**row(state.job, head, head.submitted_at), **archived_parts(state), **ended}
    assert submitted is not None
    return {
        **row(state.job, head, head.submitted_at),
        "epoch": state.epoch,
        "correlation": submitted.correlation,
        "key": submitted.key or None,
        "parent": submitted.parent.job if submitted.parent else None,
        "source": submitted.source,
        "deadline_s": submitted.deadline,
        "constraints": {
            "budget": msgspec.structs.asdict(submitted.constraints.budget),
            "boundary": submitted.constraints.boundary or None,
            "priority": submitted.constraints.priority,
            "labels": submitted.constraints.labels,
        },
        "waiting_because": why_waiting(head) or None if head.state == "submitted" else None,
        "input": await _shown(values, submitted.input),
        "result": await _shown(values, state.output) if state.output else None,
        "error": msgspec.to_builtins(state.fault) if state.fault else None,
        "degraded": state.degraded,
        "usage": msgspec.structs.asdict(state.usage),
        "steps": [step_row(each) for each in state.steps.values()],
        "awards": [award_row(each.key, award) for each in state.steps.values() for award in each.awards],
        "artifacts": [msgspec.to_builtins(each) for each in state.artifacts.values()],
        "progress": [{"at": iso(each.at), "step": each.step or None, "text": each.text} for each in state.progress],
        "owners": [{"epoch": each.epoch, "process": each.process, "since": iso(each.at)} for each in state.claims],
        "timeline": [_span_row(each, head.submitted_at) for each in spans(records)],
        "forked_from": msgspec.to_builtins(state.forked) if state.forked else None,
        "void": [{"sequence": each.sequence, "reason": each.reason} for each in state.void],
        "unreadable": state.unreadable or None,
        "updated_at": iso(state.updated_at),
    }


def _span_row(span: Span, start: float) -> Row:
    """Seconds from when the job was handed in."""
    to = None if span.to is None else round(span.to - start, 3)
    return {**msgspec.structs.asdict(span), "since": round(span.since - start, 3), "to": to}


def step_row(step: StepState) -> Row:
    """One step: who did it, how long it took, and how it ended."""
    seconds = round(step.seconds, 3) if step.ended_at else None
    return {
        "key": step.key,
        "name": step.name,
        "kind": step.kind,
        "state": step.state,
        "attempt": step.attempt,
        "effect": step.effect,
        "by": step.by or None,
        "started_at": iso(step.started_at),
        "ended_at": iso(step.ended_at) if step.ended_at else None,
        "seconds": seconds,
        "usage": msgspec.structs.asdict(step.usage),
        "error": msgspec.to_builtins(step.fault) if step.fault else None,
        "source": step.source,
        "degraded": step.degraded or None,
        "skipped": step.skipped,
        "tries": [
            {
                "attempt": each.attempt,
                "error": f"{each.fault.code}: {each.fault.message}",
                "onward": each.onward,
                "what": each.what or None,
                "until": iso(each.until) if each.until else None,
            }
            for each in step.tries
        ],
    }


def award_row(step: str, award: AwardRecord) -> Row:
    """One award: every bid with its score, who won, and why."""
    return {
        "step": step,
        "award": award.award,
        "capability": award.capability,
        "mode": award.mode,
        "round": award.round,
        "number": award.number,
        "known": award.known,
        "winner": award.winner,
        "reason": award.reason,
        "explored": award.explored,
        "weights": msgspec.structs.asdict(award.weights),
        "bids": [bid_row(each, award.winner) for each in award.candidates],
        "refusals": [msgspec.to_builtins(each) for each in award.refusals],
        "at": iso(award.at),
    }


def bid_row(candidate: Candidate, winner: str) -> Row:
    """One bid as it was judged; the smaller the score, the better."""
    score = candidate.score
    return {
        "agent": candidate.agent,
        "instance": candidate.instance,
        "process": candidate.process,
        "version": candidate.version,
        "bid": msgspec.structs.asdict(candidate.bid),
        "score": None if score is None else {**msgspec.structs.asdict(score), "total": score.total},
        "reputation": candidate.reputation,
        "learned": None if candidate.learned is None else msgspec.structs.asdict(candidate.learned),
        "expected": likely(candidate)._asdict(),
        "won": candidate.key == winner,
        "rejected_because": candidate.rejected_because or None,
    }


def event_rows(record: Recorded) -> list[Row]:
    """One entry as `job events` prints it: a row an event."""
    entry = record.entry
    return [
        {
            "sequence": record.sequence,
            "at": iso(record.at),
            "job": entry.job,
            "epoch": entry.epoch,
            "owner": entry.owner or None,
            "state": entry.head.state,
            "event": tag_of(event),
            "content": _content(event),
        }
        for event in entry.events
    ]


def iso(at: float) -> str:
    """Unix seconds as ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _content(event: JobEvent) -> Row:
    plain: Row = msgspec.json.decode(msgspec.json.encode(event))
    del plain["type"]
    return plain


async def _shown(values: Values, value: Value) -> Any:
    if value.ref is not None and value.ref.size > SHOWN:
        return {"ref": msgspec.to_builtins(value.ref)}
    return msgspec.json.decode(await values.load(value))
