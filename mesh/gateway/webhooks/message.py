"""What a webhook says: `{"type": "job.completed", "timestamp": …, "data": {the job's row, its result or error}}`.

It is made from the journal, which does not change any more: every attempt, by whichever gateway, sends the same bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.jobs.outside.listing import iso, row
from mesh.protocols.job_events import Value
from mesh.protocols.job_state import JobState


def message_of(state: JobState) -> bytes:
    """The body for a job that is over. A result that the journal names by reference stays a reference."""
    head = state.head
    assert head is not None
    assert state.terminal
    data = {
        **row(state.job, head, head.submitted_at),
        "ended_at": iso(state.updated_at),
        "result": _shown(state.output),
        "error": state.fault,
    }
    return msgspec.json.encode({"type": f"job.{state.status}", "timestamp": iso(state.updated_at), "data": data})


def _shown(value: Value | None) -> Any:
    if value is None:
        return None
    return value.inline if value.ref is None else {"ref": value.ref}
