"""What is shown of a job of which only the tombstone is left."""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.protocols.job_state import JobState


def archived_parts(state: JobState) -> dict[str, Any]:
    """The keys of `job show` that the tombstone fills, and empty ones for the rest; `archived` says where that is."""
    tomb = state.archived
    assert tomb is not None
    return {
        "archived": {"archive": tomb.archive, "entries": tomb.entries, "outcome": tomb.outcome},
        "epoch": state.epoch,
        "correlation": None,
        "key": tomb.key or None,
        "parent": None,
        "source": None,
        "deadline_s": None,
        "constraints": None,
        "waiting_because": None,
        "input": None,
        "error": msgspec.to_builtins(tomb.fault) if tomb.fault else None,
        "degraded": None,
        "usage": msgspec.structs.asdict(state.usage),
        "timeline": [],
        "steps": [],
        "awards": [],
        "artifacts": [],
        "progress": [],
        "owners": [],
        "forked_from": None,
        "void": [],
        "unreadable": None,
    }
