"""`Tenure`: one job in one owner's hands, from the claim to its end, or to the moment it is lost or handed back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from mesh.jobs.backlog import Candidate
from mesh.jobs.calls import Contractor
from mesh.jobs.dead_letters import DeadLetters
from mesh.jobs.driving import drive
from mesh.jobs.journal import Journal
from mesh.jobs.journals import Journals
from mesh.jobs.run import Run
from mesh.jobs.seat import Seat
from mesh.jobs.values import Values
from mesh.jobs.workflow import Workflow
from mesh.protocols.dead_letters import DeadLetter
from mesh.protocols.errors import Fault, MeshError
from mesh.protocols.job_events import DeadLettered
from mesh.protocols.job_state import JobState

MOST_BARREN = 10
"""Owners that may be lost over a job, one after the other, without a step ending: then it is dead-lettered."""


@dataclass(frozen=True, slots=True)
class Means:
    """What driving a job takes."""

    seat: Seat
    journals: Journals
    values: Values
    letters: DeadLetters
    contractor: Contractor


class Tenure:
    """One attempt to own the job of a candidate."""

    def __init__(self, means: Means, workflow: Workflow[Any], candidate: Candidate) -> None:
        self._means = means
        self._seat = means.seat
        self._workflow = workflow
        self._candidate = candidate
        self._journal: Journal | None = None

    async def serve(self) -> None:
        """Claim the job if it really needs an owner, and drive it to its end.

        Raises:
            LeaseLost: somebody else has it. Unavailable · TimedOut: the store is out of reach.
        """
        candidate = self._candidate
        state = await self._means.journals.state(candidate.tenant, candidate.job)
        if not _needs_owner(state, candidate):
            return
        journal = Journal(
            self._means.journals, self._seat.clock, self._seat.ids, state,
            tenant=candidate.tenant, owner=self._seat.process, incarnation=self._seat.incarnation,
        )  # fmt: skip
        if state.barren >= MOST_BARREN:
            await self._give_up(journal)
            return
        await journal.claim()
        self._journal = journal
        self._tell("job.claimed", journal)
        await self._drive(journal)
        self._tell("job.ended", journal)

    def leave(self) -> None:
        """Its `serve` is about to be cancelled, and somebody else will go on."""
        if self._journal is not None:
            self._journal.leave()

    async def hand_back(self, reason: str) -> Candidate | None:
        """Release the job, once `serve` has been cancelled; what others need to know to claim it, or None if it is over."""
        journal = self._journal
        if journal is None or journal.lost is not None or journal.state.terminal:
            return None
        await journal.release(reason)
        return self._candidate

    async def _drive(self, journal: Journal) -> None:
        """Cancelled with us when the process leaves, and alone when the job is lost."""
        run = Run(self._seat, journal, self._workflow, self._means.contractor, self._means.values)
        driving = asyncio.ensure_future(drive(run, journal, self._means.values))

        def lost(_: MeshError) -> None:
            driving.cancel()

        journal.on_lost(lost)
        try:
            await asyncio.wait({driving})
        finally:
            driving.cancel()
            await asyncio.gather(driving, return_exceptions=True)
        journal.check()
        driving.result()

    async def _give_up(self, journal: Journal) -> None:
        """Nobody survives this job: it is dead-lettered, with what is known."""
        candidate = self._candidate
        message = f"{journal.state.barren} owners were lost one after the other without a step ending"
        fault = Fault(code="poison", error_class="catastrophic", message=message)
        letter = f"dead.job.{candidate.job}.{journal.state.epoch + 1}"
        await journal.claim(DeadLettered(fault=fault, letter=letter))
        await self._means.letters.write(
            DeadLetter(
                id=letter,
                stage="job",
                reason=fault,
                tenant=candidate.tenant,
                workflow=candidate.workflow,
                job=candidate.job,
            )
        )

    def _tell(self, event: str, journal: Journal) -> None:
        head, submitted = journal.state.head, journal.state.submitted
        if head is None or submitted is None:
            return
        self._seat.telemetry.emit(
            event, job=journal.state.job, tenant=journal.tenant, workflow=head.workflow, version=head.version,
            epoch=journal.epoch, state=head.state, correlation=submitted.correlation,
            error=journal.state.fault.code if journal.state.fault else "",
        )  # fmt: skip


def _needs_owner(state: JobState, candidate: Candidate) -> bool:
    if state.terminal or state.unreadable or state.head is None:
        return False
    return state.head.state == "submitted" or state.epoch == candidate.epoch
