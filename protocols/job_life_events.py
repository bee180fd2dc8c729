"""The life of a job: handed in, owned, let go of, and ended."""

from __future__ import annotations

import msgspec

from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import Fault
from mesh.protocols.job_facts import JobEvent, Value


class Parent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The job that a job was begun by: `wait` is the key of the wait there that ends when this job does."""

    tenant: str
    job: str
    wait: str


class Submitted(JobEvent, frozen=True, tag="submitted"):
    """The job exists. Always the first event.

    `digest` is that of the input, so that a key that is used again with another input is noticed. `deadline` is in seconds
    from submission, null for none. `received_at` is the server's timestamp of the message in the ingress stream, and 0
    where there was none: then the entry's own timestamp counts. `source` is `stream:<name>:<sequence>` or `request`.
    """

    workflow: str
    version: int
    input: Value
    digest: str
    constraints: Constraints = Constraints()
    deadline: float | None = None
    key: str = ""
    source: str = "request"
    received_at: float = 0.0
    correlation: str = ""
    causation: str = ""
    trace: str = ""
    parent: Parent | None = None


class OwnerClaimed(JobEvent, frozen=True, tag="owner.claimed"):
    """A process drives the job from here on, under the entry's epoch. `incarnation` tells a restarted process apart."""

    process: str
    incarnation: str = ""


class OwnerReleased(JobEvent, frozen=True, tag="owner.released"):
    """The owner handed the job back: anybody may claim it at once."""

    reason: str


class Suspended(JobEvent, frozen=True, tag="owner.suspended"):
    """Every line of the workflow waits: the owner lets go of the job until one of the waits is over."""


class Parked(JobEvent, frozen=True, tag="parked"):
    """The owner lets go of the job until a person has decided what `key` is about. An alert has been raised."""

    key: str
    reason: str


class Paused(JobEvent, frozen=True, tag="paused"):
    """The owner lets go of the job until somebody resumes it."""


class Woken(JobEvent, frozen=True, tag="woken"):
    """A job that nobody drives needs an owner: its deadline has come."""

    reason: str


class Completed(JobEvent, frozen=True, tag="completed"):
    """The workflow returned."""

    output: Value


class Failed(JobEvent, frozen=True, tag="failed"):
    """The workflow raised."""

    fault: Fault


class Cancelled(JobEvent, frozen=True, tag="cancelled"):
    """The workflow ended because somebody asked it to."""

    fault: Fault


class Compensated(JobEvent, frozen=True, tag="compensated"):
    """The workflow failed or was cancelled, with `fault`, and what it had done was undone."""

    fault: Fault


class DeadLettered(JobEvent, frozen=True, tag="dead_lettered"):
    """Nobody will drive the job until a person decides. `letter` is the message id of its dead letter."""

    fault: Fault
    letter: str = ""
