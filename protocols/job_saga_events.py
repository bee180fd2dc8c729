"""Undoing what a failed or cancelled job had done, last first. `key` is that of the step that is undone."""

from __future__ import annotations

from mesh.protocols.errors import Fault
from mesh.protocols.job_facts import JobEvent


class CompStarted(JobEvent, frozen=True, tag="comp.started"):
    """The step's compensation is about to run. `attempt` counts from 1; `fault` is why the job is undone. From the first of
    these on, the job never goes forward again."""

    key: str
    attempt: int = 1
    fault: Fault | None = None


class CompSucceeded(JobEvent, frozen=True, tag="comp.succeeded"):
    """The step is undone, or, with `by`, somebody said that it is."""

    key: str
    by: str = ""


class CompFailed(JobEvent, frozen=True, tag="comp.failed"):
    """The compensation failed: a person must see to it."""

    key: str
    fault: Fault
