"""`Performing`: a step from what the journal says of it to its outcome. Recalled, if it has ended; settled, if it is in doubt;
waited for, if its time has not come; else done. What fails goes on as its plan says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from mesh.jobs.journals.journal import Journal
from mesh.jobs.replay.hold import Hold
from mesh.jobs.running.scope import Scope
from mesh.jobs.running.stillness import TURNS
from mesh.jobs.steps.attempt import Work
from mesh.jobs.steps.awarding import IN_PLACE
from mesh.jobs.steps.doubts import Doubt, Doubts, in_doubt
from mesh.jobs.steps.gate import Gate
from mesh.jobs.steps.onward import NOTHING_PLANNED, GoesOn, Plan
from mesh.jobs.steps.step import Later, Step, Stopped
from mesh.jobs.steps.steps import Steps
from mesh.jobs.waiting.persons import Persons
from mesh.jobs.waiting.waits import Waits
from mesh.protocols.errors import InDoubt, MeshError
from mesh.protocols.job_events import WaitOpened
from mesh.protocols.job_step_state import StepState

SUFFIX = "/~retry"
"""Ends the key of the timer until a step is tried again, before its number."""


class Settled(NamedTuple):
    """A step that has its outcome: the result as JSON, null for one that was skipped, and what the journal knows of it."""

    content: msgspec.Raw
    known: StepState


class Performing:
    """The steps of one run. While there is a `hold`, nothing is begun."""

    def __init__(
        self, journal: Journal, steps: Steps, waits: Waits, gate: Gate, doubts: Doubts, persons: Persons
    ) -> None:
        self._journal = journal
        self._steps = steps
        self._waits = waits
        self._gate = gate
        self._doubts = doubts
        self._persons = persons
        self._came_to: set[str] = set()
        self.hold: Hold | None = None

    async def perform(
        self, scope: Scope, step: Step, work: Work, doubt: Doubt | None = None, plan: Plan = NOTHING_PLANNED
    ) -> Settled:
        """The step's outcome.

        Raises:
            MeshError: the step failed, now or before. ReplayDiverged · LeaseLost · Cancelled.
        """
        step, known = self._steps.find(step)
        self._came_to.add(step.key)
        stopped = False
        while True:
            if known is not None and known.ended:
                return Settled(await self._recall(scope, known), known)
            if self.hold is not None:
                await self.hold.here(step.key)
            if known is None:
                await self._in_order(scope, step.key)
            anew = known is not None and await self._may_be_done_anew(scope, known, doubt)
            if known is not None and (known.ended or await self._asked(scope, known, plan, doubt)):
                continue
            anew = anew or stopped
            await self._allowed(scope, step, known, anew)
            try:
                content = await self._steps.do(scope, step, work, known, anew=anew, plan=plan)
                return Settled(content, self._journal.state.steps[step.key])
            except (GoesOn, Later, Stopped, MeshError) as error:
                stopped = isinstance(error, Stopped)
                known = await self._gone_wrong(scope, step, error, doubt)

    async def _gone_wrong(self, scope: Scope, step: Step, error: Exception, doubt: Doubt | None) -> StepState | None:
        """What the journal knows of the step now that it was not done; raises the error if there is nothing more to be done."""
        known = self._journal.state.steps.get(step.key)
        match error:
            case GoesOn():
                pass
            case Stopped():
                await self._gate.refused(scope, step.key, error.why)
            case Later():
                assert known is not None, "an agent was asked, and that is journaled"
                await self._wait(scope, known, self._journal.job_time() + error.seconds)
            case InDoubt():
                if known is None or known.state != "in_doubt" or doubt is None:
                    raise error
            case _:
                if known is None or not known.skipped:
                    raise error
        return known

    @property
    def all_asked(self) -> bool:
        """Whether the workflow has come to every step that succeeded."""
        steps = self._journal.state.steps.values()
        return all(each.key in self._came_to for each in steps if each.state == "succeeded")

    async def _in_order(self, scope: Scope, key: str) -> None:
        """What is new comes after what was done before. A line that is alone, does not move, and has left out steps that ended
        runs other code than it did; found here, before anything is done that the journal knows nothing of.

        Raises:
            ReplayDiverged: that is so, and the workflow's policy is strict.
        """
        ahead = self._steps.course.ahead
        left, turns = self._ended(ahead.under(scope.path)), 0
        while left and turns < TURNS and set(scope.running) == {key}:
            await asyncio.sleep(0)
            before, left = left, self._ended(ahead.under(scope.path))
            turns = turns + 1 if left == before else 0
        if left and set(scope.running) == {key}:
            self._steps.course.skipped(scope.path, key)

    def _ended(self, keys: Sequence[str]) -> list[str]:
        steps = self._journal.state.steps
        return [each for each in keys if each in steps and steps[each].ended]

    async def _recall(self, scope: Scope, known: StepState) -> msgspec.Raw:
        if self.hold is None:
            return await self._steps.recall(scope, known)
        with self.hold.recalling():
            return await self._steps.recall(scope, known)

    async def _may_be_done_anew(self, scope: Scope, known: StepState, doubt: Doubt | None) -> bool:
        """Whether it is known that nothing of what was begun before goes on: somebody said so of a step in doubt, or it is to
        be tried again later, and that time has come."""
        for number in range(1, known.attempt + 1):
            scope.ahead.came_to(f"{known.key}/", _retry_key(known, number))
        if doubt is not None and in_doubt(known):
            return await self._doubts.settle(scope, known, doubt)
        wait = self._waits.knows(_retry_key(known, known.attempt))
        if wait is not None:
            await self._waits.wait(scope, wait.opened)
        elif known.paused:
            await self._pause(scope, known, known.tries[-1].until)
        return wait is not None or known.paused

    async def _allowed(self, scope: Scope, step: Step, known: StepState | None, anew: bool) -> None:
        """What an agent is at work on already goes on, whatever is killed."""
        if known is not None and known.award is not None and not anew:
            await self._steps.may_begin(step.key)
            return
        capability = step.name if step.kind == "call" else ""
        await self._gate.passes(scope, step.key, step_kind=step.kind, capability=capability)

    async def _asked(self, scope: Scope, known: StepState, plan: Plan, doubt: Doubt | None) -> bool:
        """Whether a person was to be asked for its result, and has answered."""
        person = plan.person(known.tries) if known.paused else None
        if person is None or doubt is None:
            return False
        await self._persons.ask(scope, known, person, plan, doubt.contract)
        return True

    async def _pause(self, scope: Scope, known: StepState, until: float) -> None:
        """Until the step may go on. For a short while the job is kept; for a long one it is let go of."""
        left = until - self._journal.job_time()
        if left > IN_PLACE:
            await self._wait(scope, known, until)
        elif left > 0:
            await self._steps.pause(left)

    async def _wait(self, scope: Scope, known: StepState, until: float) -> None:
        await self._waits.wait(
            scope, WaitOpened(key=_retry_key(known, known.attempt), kind="timer", name="retry", until=until)
        )


def _retry_key(known: StepState, attempt: int) -> str:
    return f"{known.key}{SUFFIX}#{attempt}"
