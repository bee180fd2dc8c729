"""`Limits`: what a run has left of the time and the budget that its submitter gave the job, and what its agents must be like."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

from mesh.jobs.journals.journal import Journal
from mesh.jobs.steps.steps import Steps
from mesh.protocols.constraints import Budget, Constraints
from mesh.protocols.errors import BudgetExceeded, Refused
from mesh.protocols.job_events import Submitted
from mesh.protocols.ports import Clock
from mesh.resilience.deadline import Deadline

T = TypeVar("T")


class Limits:
    """Those of one run. `deadline` is None where the submitter never said how long it waits."""

    def __init__(self, clock: Clock, journal: Journal, submitted: Submitted, steps: Steps) -> None:
        self._clock = clock
        self._steps = steps
        self._whole = submitted.constraints
        self._shielded = False
        self.deadline = _absolute(clock, journal, submitted)

    def shield(self) -> None:
        """From now on neither the job's deadline nor its budget counts: what it had done is being undone."""
        self.deadline, self._shielded = None, True

    @property
    def constraints(self) -> Constraints:
        """What the submitter demands, the budget less what has been used so far."""
        return msgspec.structs.replace(self._whole, budget=self._whole.budget.less(self._steps.used))

    @property
    def left(self) -> float | None:
        """Seconds that the job has left."""
        return self.deadline.remaining() if self.deadline else None

    def within(self, seconds: float) -> Deadline:
        """`seconds` from now, no later than the job's own deadline."""
        return self.deadline.narrow(seconds) if self.deadline else Deadline.after(self._clock, seconds)

    async def enforce(self, what: str, work: Coroutine[Any, Any, T]) -> T:
        """Do the work within the job's deadline.

        Raises:
            DeadlineExceeded: it was not done by then.
        """
        if self.deadline is None:
            return await work
        async with self.deadline.enforce(what):
            return await work

    def narrowed(self, key: str, demands: Constraints) -> Constraints:
        """What the job demands, and what is demanded beyond that.

        Raises:
            BudgetExceeded: nothing is left. Refused: more is demanded than the job allows.
        """
        if self._shielded:
            whole = msgspec.structs.replace(self._whole, budget=Budget())
        elif self._whole.budget.allows(self._steps.used):
            whole = self.constraints
        else:
            raise BudgetExceeded(
                f"step {key}: the job's budget is used up", detail={"budget": msgspec.to_builtins(self._whole.budget)}
            )
        try:
            return whole.narrow(demands)
        except ValueError as error:
            raise Refused(f"step {key}: {error}", detail={"reason": "constraints"}) from None


def _absolute(clock: Clock, journal: Journal, submitted: Submitted) -> Deadline | None:
    """The submitter's deadline on this process's clock: job time tells how much of it has passed."""
    if submitted.deadline is None or journal.state.head is None:
        return None
    passed = journal.job_time() - journal.state.head.submitted_at
    return Deadline.after(clock, submitted.deadline - max(0.0, passed))
