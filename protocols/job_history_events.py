"""What makes an old journal fit today: patches, flags, forks, snapshots, and the tombstone of what was archived."""

from __future__ import annotations

from mesh.protocols.errors import Fault
from mesh.protocols.job_facts import JobEvent, JobStatus, Value


class PatchMarker(JobEvent, frozen=True, tag="patch.marker"):
    """From its first coming to `job.patched(name)` on, this job does what the patched workflow does."""

    name: str


class FlagRead(JobEvent, frozen=True, tag="flag.read"):
    """What this job was told of a flag: the same again in every run. `name` stands below the path of the branch that asked."""

    name: str
    value: bool | int | float | str


class Forked(JobEvent, frozen=True, tag="forked_from"):
    """The job goes on from what another one had done: always beside its `submitted`, and before the `snapshot` that holds it.

    `sequence` is that of the last entry taken over; `at` the key of the first step that is done anew; `changes` says in
    words what is different. `instead` says which capability is called in place of another one. Without `effects`, what touches
    the world outside is refused where there is no outcome to give for it.
    """

    job: str
    sequence: int
    at: str = ""
    changes: tuple[str, ...] = ()
    instead: dict[str, str] = {}
    effects: bool = False


SNAPSHOT_FORMAT = 2
"""Goes up when a release folds a journal to something that an earlier one could not begin with."""


class Snapshot(JobEvent, frozen=True, tag="snapshot"):
    """Everything before in one value: a `JobState` as JSON. Always the last event of its entry.

    Alone in its entry it tells nothing new: readers may begin here, those that know its `format`. Behind `forked_from` it is
    what the job begins with.
    """

    state: Value
    format: int = 1


class Archived(JobEvent, frozen=True, tag="archived"):
    """The tombstone of an ended job: everything before it is in an archive, and purged.

    `key` is the submission's, so that its repetition is still told the outcome; `digest` that of the input, `outcome` that
    of the result or fault; `output` the result itself, where it is large by reference, and `fault` the fault. `archive` says
    where the rest is.
    """

    state: JobStatus
    archive: str
    entries: int
    key: str = ""
    digest: str = ""
    outcome: str = ""
    output: Value | None = None
    fault: Fault | None = None
