"""`Attempt`: one doing of a step, and what its doer writes into the journal meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from mesh.jobs.journals.journal import Journal
from mesh.jobs.owning.seat import Seat
from mesh.jobs.steps.onward import stance_of
from mesh.jobs.steps.step import Outcome, Step
from mesh.protocols.awards import AwardRecord
from mesh.protocols.envelope import Stamps
from mesh.protocols.job_events import Awarded, Progressed, StepStarted
from mesh.protocols.job_step_state import NO_STAMPS, StepState, Try

MOST_CANDIDATES = 64
PROGRESS_EVERY = 1.0


class Attempt:
    """One doing of a step: what its doer writes into the journal while it works. An `AwardLedger`.

    `resume` is the award under which a lost owner had the step done: whoever holds it is asked first. `tries` are those that
    failed before, and `stance` says to which of the step's variations and fallbacks they have led.
    """

    def __init__(
        self, journal: Journal, seat: Seat, step: Step, number: int, resume: AwardRecord | None, known: StepState | None
    ) -> None:
        self.number = number
        self.resume = resume
        self.tries: Sequence[Try] = tuple(known.tries) if known else ()
        self.stance = stance_of(self.tries)
        self.step = step
        self.by = ""
        self._doers: dict[str, Stamps] = {}
        self.started = False
        self._journal = journal
        self._seat = seat
        self._step = step
        self._told = float("-inf")

    @property
    def at_most_once(self) -> bool:
        """Whether it may be done so only, as it was asked for, or as whoever had it last declared it."""
        known = self._journal.state.steps.get(self.step.key)
        return "at_most_once" in (self.step.effect, known.effect if known else "")

    async def start(self) -> None:
        """Journal that the step is about to be done here; when this returns, it may.

        Raises:
            Killed: it may not, since a moment ago.
        """
        self._must_be_allowed()
        await self._begin()
        self._must_still_be_allowed()

    async def _begin(self, award: AwardRecord | None = None) -> None:
        step = self._step
        self.started = True
        await self._journal.append(
            StepStarted(
                key=step.key,
                **step.identity,
                effect=award.effect if award else self.resume.effect if self.resume else step.effect,
                attempt=self.number,
                award=award,
            )
        )

    async def award(self, record: AwardRecord) -> None:
        """Journal an award; when this returns, it may be sent.

        Raises:
            Killed: it may not be given to anybody, since a moment ago.
        """
        self._journal.check()
        self._must_be_allowed(record.capability)
        self._done_by(record)
        record = _bounded(record)
        if self.started:
            await self._journal.append(Awarded(key=self._step.key, award=record))
        else:
            await self._begin(record)
        self._must_still_be_allowed(record.capability)

    async def take_up(self, award: AwardRecord) -> None:
        """Journal that the step goes on under this owner; the award stays as it is."""
        self._done_by(award)
        await self._begin()

    def _must_be_allowed(self, capability: str = "") -> None:
        """An agent may be looked for as long as the step has time: what is killed meanwhile is not begun."""
        policy, head = self._seat.policy, self._journal.state.head
        if policy.switches and head is not None:
            switch = policy.killed(
                tenant=self._journal.tenant, workflow=head.workflow, step_kind=self._step.kind, capability=capability
            )
            if switch is not None:
                raise switch.error()

    def _must_still_be_allowed(self, capability: str = "") -> None:
        """It may have been killed while its beginning was journaled. What may be done at most once is begun all the same: with an
        owner lost now, it would be in doubt."""
        if not self.at_most_once:
            self._must_be_allowed(capability)

    def _done_by(self, award: AwardRecord) -> None:
        """Who does it, and in which version: a failure is told with that, too."""
        self.by = f"{award.won.agent}.{award.won.instance}"
        self._doers[self.by] = Stamps(agent_version=award.won.version)

    def failed_by(self, origin: str) -> tuple[str, Stamps]:
        """Who failed, and in which version: of the two of a hedge the one that says so, else whoever was given it last."""
        by = origin if origin in self._doers else self.by
        return by, self._doers.get(by, NO_STAMPS)

    def progress(self, value: Any) -> None:
        """The doer said how far it is: shown to whoever follows, once a second at most."""
        now = self._seat.clock.monotonic()
        if value is not None and now - self._told >= PROGRESS_EVERY:
            self._told = now
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            self._journal.note(Progressed(text=text[:500], step=self._step.key))


Work = Callable[[Attempt], Awaitable[Outcome]]


def _bounded(record: AwardRecord) -> AwardRecord:
    """The winner and the best of the others: a journal entry has an end, a market may not."""
    if len(record.candidates) <= MOST_CANDIDATES:
        return record
    ranked = sorted(
        record.candidates,
        key=lambda each: (each.key != record.winner, each.score.total if each.score else float("inf")),
    )
    return msgspec.structs.replace(record, candidates=tuple(ranked[:MOST_CANDIDATES]))
