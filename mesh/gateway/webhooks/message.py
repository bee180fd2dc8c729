"""What a webhook says: `{"type": "job.completed", "timestamp": …, "data": {the job's row, its result or error}}`.

It is made from the journal, which does not change any more: every attempt, by whichever gateway, sends the same bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.gateway.links import links
from mesh.jobs.outside.listing import iso, row
from mesh.protocols.job_events import Value
from mesh.protocols.job_state import JobState


def message_of(state: JobState) -> bytes:
    """The body for a job that is over. A result that the journal names by reference is not in it: `result_at` says where it is."""
    head = state.head
    assert head is not None
    assert state.terminal
    data = {
        **row(state.job, head, head.submitted_at),
        "ended_at": iso(state.updated_at),
        "result": state.output.inline if state.output is not None else None,
        "result_at": _elsewhere(state.output, links(head.tenant, state.job)["result"]),
        "error": state.fault,
    }
    return msgspec.json.encode({"type": f"job.{state.status}", "timestamp": iso(state.updated_at), "data": data})


def _elsewhere(value: Value | None, path: str) -> dict[str, Any] | None:
    """Where a result is that is not in the message: the path at any gateway, and what is found there."""
    if value is None or value.ref is None:
        return None
    return {"path": path, "size": value.ref.size, "digest": value.ref.digest}
