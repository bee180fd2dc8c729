"""`Surroundings`: where a workflow is: what the parts of its `Job` stand on (`acting`, `awaiting`, `leaving`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh.jobs.authoring.workflow import Job, Workflow
from mesh.jobs.journals.journal import Journal
from mesh.jobs.journals.values import Values
from mesh.jobs.owning.seat import Seat
from mesh.jobs.replay.course import Course
from mesh.jobs.replay.hold import Hold
from mesh.jobs.running.branch_times import BranchTimes
from mesh.jobs.running.limits import Limits
from mesh.jobs.steps.calling import Calling
from mesh.jobs.steps.performing import Performing
from mesh.jobs.steps.saga import Saga
from mesh.jobs.steps.steps import Steps
from mesh.jobs.waiting.children import Children
from mesh.jobs.waiting.waits import Waits
from mesh.protocols.constraints import Constraints, Usage
from mesh.protocols.job_events import Submitted
from mesh.resilience.deadline import Deadline


class Surroundings(Job):
    """One run's nouns, and what a workflow may know of its job. `course` and `hold` are changed by the run: what the journal
    still expects to be asked for, and, while the workflow only retraces it, where it ends."""

    def __init__(
        self,
        *,
        seat: Seat,
        journal: Journal,
        submitted: Submitted,
        workflow: Workflow[Any],
        values: Values,
        steps: Steps,
        waits: Waits,
        children: Children,
        performing: Performing,
        saga: Saga,
        limits: Limits,
        calling: Calling,
        branch_times: BranchTimes,
        course: Course,
    ) -> None:
        self._seat = seat
        self._journal = journal
        self._submitted = submitted
        self._workflow = workflow
        self._values = values
        self._steps = steps
        self._waits = waits
        self._children = children
        self._performing = performing
        self._saga = saga
        self._limits = limits
        self._calling = calling
        self._branch_times = branch_times
        self.course = course
        self.hold: Hold | None = None
        self._notes_before = journal.state.notes
        self._notes = 0

    @property
    def id(self) -> str:
        """The job's id."""
        return self._journal.state.job

    @property
    def tenant(self) -> str:
        """On whose account it runs."""
        return self._journal.tenant

    @property
    def correlation(self) -> str:
        """Shared by everything the job causes."""
        return self._submitted.correlation or self.id

    @property
    def constraints(self) -> Constraints:
        """What the submitter demands, the budget less what has been used so far."""
        return self._limits.constraints

    @property
    def usage(self) -> Usage:
        """What the steps have used so far."""
        return self._steps.used

    @property
    def degraded(self) -> Mapping[str, str]:
        """The steps seen so far whose results are less than was asked for, and why."""
        return dict(self._steps.degraded)

    @property
    def deadline(self) -> Deadline | None:
        """When the submitter stops waiting."""
        return self._limits.deadline
