"""Whether a submission is one that was handed in before, under the same key."""

from __future__ import annotations

from mesh.protocols.errors import KeyReused
from mesh.protocols.job_state import JobState


def handed_in_again(there: JobState, workflow: str, digest: str) -> bool:
    """Whether the job that is there has this workflow and the input with this digest. Of one that was archived, the tombstone
    tells."""
    if there.archived is not None and there.head is not None:
        return (there.head.workflow, there.archived.digest) == (workflow, digest)
    return there.submitted is not None and (there.submitted.workflow, there.submitted.digest) == (workflow, digest)


def key_reused(key: str, job: str) -> KeyReused:
    """What is said of a key that names another job."""
    return KeyReused(
        f"the key {key!r} was used before, for another workflow or input: it names job {job}; take another key",
        detail={"job": job},
    )
