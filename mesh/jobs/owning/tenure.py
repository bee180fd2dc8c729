"""`Tenure`: one job in one owner's hands, from the claim to its end, or to the moment it is lost or handed back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mesh.actors.declaring.contract import encode_payload
from mesh.jobs.authoring.workflow import Workflow
from mesh.jobs.intake.dead_letters import DeadLetters
from mesh.jobs.journals.commits import PATIENCE
from mesh.jobs.journals.journal import Journal
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.snapshots import Snapshots
from mesh.jobs.journals.values import Values
from mesh.jobs.owning.backlog import Candidate
from mesh.jobs.owning.quarantine import SUSPECT, Quarantine
from mesh.jobs.owning.seat import Seat
from mesh.jobs.replay.course import REPLAY
from mesh.jobs.running.driving import drive
from mesh.jobs.running.run import Run
from mesh.jobs.steps.calls import Contractor
from mesh.jobs.waiting.children import tell_parent
from mesh.jobs.waiting.inbox import Inbox
from mesh.jobs.waiting.parking import park
from mesh.jobs.waiting.timers import Timers
from mesh.protocols.errors import Fault, MeshError, ReplayDiverged, Transient, UnknownJob
from mesh.protocols.job_events import DeadLettered, Value
from mesh.protocols.job_state import JobState, Recorded, fold

logger = logging.getLogger("mesh.jobs")

MOST_BARREN = 10
"""Owners that may be lost over a job, one after the other, without a step ending: then it is dead-lettered."""
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.7
"""Seconds between looks for a journal that is not there yet."""


@dataclass(frozen=True, slots=True)
class Means:
    """What driving a job takes."""

    seat: Seat
    journals: Journals
    values: Values
    letters: DeadLetters
    contractor: Contractor
    inbox: Inbox
    timers: Timers
    quarantine: Quarantine = field(default_factory=Quarantine)


class Tenure:
    """One attempt to own the job of a candidate. `claimed`: it is ours since it was journaled. `known` is what it amounted to a
    moment ago, if that is known here."""

    def __init__(
        self,
        means: Means,
        workflow: Workflow[Any],
        candidate: Candidate,
        *,
        claimed: bool = False,
        known: JobState | None = None,
    ) -> None:
        self._means = means
        self._seat = means.seat
        self._workflow = workflow
        self._candidate = candidate
        self._claimed = claimed
        self._known = known
        self._journal: Journal | None = None
        self._run: Run | None = None
        self._leave_quarantine: Callable[[], None] = lambda: None

    async def serve(self) -> None:
        """Claim the job if it really needs an owner, and drive it to its end.

        Raises:
            LeaseLost: somebody else has it. Unavailable · TimedOut: the store is out of reach.
        """
        try:
            await self._serve()
        finally:
            self._leave_quarantine()

    async def _serve(self) -> None:
        journal = self._journal = await (self._adopt() if self._claimed else self._claim())
        if journal is None:
            return
        self._tell("job.claimed", journal)
        await self._drive(journal)
        if journal.state.terminal:
            self._tell("job.ended", journal)

    async def _adopt(self) -> Journal:
        """As its owner since it was journaled: nobody else may have written anything, so the last entry is the first."""
        last = await self._first_entry()
        state = fold([last]) if last is not None and last.entry.previous == 0 else await self._read()
        journal = self._writer(state)
        journal.adopt()
        return journal

    async def _first_entry(self) -> Recorded | None:
        """Asked for again while the store is away: nobody else takes the job up as long as we are there."""
        give_up = self._seat.clock.monotonic() + PATIENCE
        while True:
            try:
                return await self._means.journals.last(self._candidate.tenant, self._candidate.job)
            except Transient:
                if self._seat.clock.monotonic() >= give_up:
                    raise
            await self._seat.clock.sleep(LONGEST_PAUSE)

    async def _claim(self) -> Journal | None:
        state = await (self._read() if self._known is None else self._caught_up(self._known))
        if not _needs_owner(state, self._candidate):
            return None
        if state.barren >= SUSPECT:
            self._leave_quarantine = await self._means.quarantine.enter()
            state = await self._read()
            if not _needs_owner(state, self._candidate):
                return None
        journal = self._writer(state)
        if state.barren >= MOST_BARREN:
            await self._give_up(journal)
            return None
        await journal.claim()
        return journal

    async def _caught_up(self, known: JobState) -> JobState:
        candidate = self._candidate
        for record in await self._means.journals.read(candidate.tenant, candidate.job, after=known.sequence):
            known.apply(record)
        return known

    def _writer(self, state: JobState) -> Journal:
        return Journal(
            self._means.journals, self._seat.clock, self._seat.ids, state,
            tenant=self._candidate.tenant, owner=self._seat.process, incarnation=self._seat.incarnation,
            snapshots=Snapshots(self._means.values, self._seat.clock),
        )  # fmt: skip

    async def _read(self) -> JobState:
        """The job as its journal has it. In a cluster, the server that answers may not have heard of a new job yet.

        Raises:
            UnknownJob: it has no journal, after a moment either.
        """
        candidate, pause = self._candidate, FIRST_PAUSE
        while True:
            try:
                return await self._means.journals.state(candidate.tenant, candidate.job, snapshot=candidate.snapshot)
            except UnknownJob:
                if pause > LONGEST_PAUSE:
                    raise
            await self._seat.clock.sleep(pause)
            pause *= 2

    @property
    def left_over(self) -> Candidate | None:
        """What others need to know, once `serve` is over, if the job was let go of and can go on already."""
        submitted = self._journal is not None and self._journal.state.status == "submitted"
        return msgspec.structs.replace(self._candidate, epoch=-1) if submitted else None

    def look(self) -> None:
        """Something was said to the job."""
        if self._run is not None:
            self._run.look()

    def leave(self) -> None:
        """Its `serve` is about to be cancelled, and somebody else will go on."""
        if self._journal is not None:
            self._journal.leave()

    async def hand_back(self, reason: str) -> Candidate | None:
        """Release the job, once `serve` has been cancelled; what others need to know to claim it, or None if it is over.

        Raises:
            LeaseLost: it is somebody else's. Unavailable · TimedOut: the store is out of reach.
        """
        if self._journal is None and self._claimed:
            self._journal = await self._adopt()
        journal = self._journal
        if journal is None or journal.lost is not None or journal.state.terminal:
            return None
        await journal.release(reason)
        head = journal.state.head
        return msgspec.structs.replace(self._candidate, snapshot=head.snapshot if head else None)

    async def _drive(self, journal: Journal) -> None:
        """Cancelled with us when the process leaves, and alone when the job is lost or let go of."""
        means = self._means
        run = self._run = Run(
            self._seat, journal, self._workflow, means.contractor, means.values, means.inbox, means.timers
        )
        driving = asyncio.ensure_future(drive(run, journal, means.values))
        attending = asyncio.ensure_future(run.attend())

        def lost(_: MeshError) -> None:
            driving.cancel()

        journal.on_lost(lost)
        try:
            if await self._halts(run, driving):
                await self._let_go(run, journal, driving, attending)
                return
        finally:
            await _stopped(driving, attending)
        journal.check()
        try:
            driving.result()
        except ReplayDiverged as error:
            await self._park(journal, error)

    async def _park(self, journal: Journal, error: ReplayDiverged) -> None:
        """A bad deployment kills no jobs: this one waits for code that fits it."""
        about = Value(inline=encode_payload(error.detail))
        await park(self._seat, journal, REPLAY, what="replay-diverged", reason=error.message, about=about)
        self._tell("job.let_go", journal)

    async def _halts(self, run: Run, driving: asyncio.Future[None]) -> bool:
        """Whether the workflow comes to a halt before it is over."""
        while not driving.done():
            resting = asyncio.ensure_future(run.rest())
            either: tuple[asyncio.Future[Any], ...] = (driving, resting)
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not driving.done() and resting.result():
                    return True
            except Transient as error:
                logger.info("job %s is not let go of yet: %s", self._candidate.job, error)
                await self._seat.clock.sleep(0.5)
            finally:
                await _stopped(resting)
        return False

    async def _let_go(
        self, run: Run, journal: Journal, driving: asyncio.Future[None], attending: asyncio.Future[None]
    ) -> None:
        """The workflow waits, and no process need hold the job. Its code is stopped where it waits: whoever takes the job up
        runs it to the same place."""
        journal.freeze("the job waits")
        await _stopped(driving, attending)
        await journal.drained()
        await journal.let_go(run.farewell())
        self._tell("job.let_go", journal)

    async def _give_up(self, journal: Journal) -> None:
        """Nobody survives this job: it is dead-lettered. The letter is written first, so that no crash can lose it."""
        state = journal.state
        message = f"{state.barren} owners were lost one after the other without a step ending"
        fault = Fault(code="poison", error_class="catastrophic", message=message)
        letter = f"dead.job.{state.job}.{state.epoch + 1}"
        await self._means.letters.bury_job(state, journal.tenant, letter, fault)
        await tell_parent(self._seat, state)
        await journal.claim(DeadLettered(fault=fault, letter=letter))

    def _tell(self, event: str, journal: Journal) -> None:
        head, submitted = journal.state.head, journal.state.submitted
        if head is None or submitted is None:
            return
        self._seat.telemetry.emit(
            event, job=journal.state.job, tenant=journal.tenant, workflow=head.workflow, version=head.version,
            epoch=journal.epoch, state=head.state, correlation=submitted.correlation,
            error=journal.state.fault.code if journal.state.fault else "",
        )  # fmt: skip


async def _stopped(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _needs_owner(state: JobState, candidate: Candidate) -> bool:
    if state.terminal or state.unreadable or state.head is None:
        return False
    if state.head.state == "submitted":
        return True
    return state.head.state in ("running", "waiting") and state.epoch == candidate.epoch
