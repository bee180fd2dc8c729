"""`Performing`: a step from what the journal says of it to its outcome. Recalled, if it has ended; settled, if it is in doubt;
waited for, if its time has not come; else done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from mesh.jobs.doubts import Doubt, Doubts, in_doubt
from mesh.jobs.hold import Hold
from mesh.jobs.journal import Journal
from mesh.jobs.scope import Scope
from mesh.jobs.steps import Later, Step, Steps, Work
from mesh.jobs.stillness import TURNS
from mesh.jobs.waits import Waits
from mesh.protocols.errors import InDoubt
from mesh.protocols.job_events import WaitOpened
from mesh.protocols.job_state import StepState

SUFFIX = "/~retry"
"""Ends the key of the timer until a step is tried again, before its number."""


class Performing:
    """The steps of one run. While there is a `hold`, nothing is begun."""

    def __init__(self, journal: Journal, steps: Steps, waits: Waits, doubts: Doubts) -> None:
        self._journal = journal
        self._steps = steps
        self._waits = waits
        self._doubts = doubts
        self._asked: set[str] = set()
        self.hold: Hold | None = None

    async def perform(self, scope: Scope, step: Step, work: Work, doubt: Doubt | None = None) -> msgspec.Raw:
        """The step's result.

        Raises:
            MeshError: the step failed, now or before. ReplayDiverged · LeaseLost · Cancelled.
        """
        step, known = self._steps.find(step)
        self._asked.add(step.key)
        while True:
            if known is not None and known.ended:
                return await self._recall(scope, known)
            if self.hold is not None:
                await self.hold.here(step.key)
            if known is None:
                await self._in_order(scope, step.key)
            anew = known is not None and await self._may_be_done_anew(scope, known, doubt)
            if known is not None and known.ended:
                continue
            try:
                return await self._steps.do(scope, step, work, known, anew=anew)
            except Later as later:
                known = self._journal.state.steps[step.key]
                await self._wait(scope, known, later.seconds)
            except InDoubt:
                known = self._journal.state.steps.get(step.key)
                if known is None or known.state != "in_doubt" or doubt is None:
                    raise

    @property
    def all_asked(self) -> bool:
        """Whether the workflow has come to every step that succeeded."""
        steps = self._journal.state.steps.values()
        return all(each.key in self._asked for each in steps if each.state == "succeeded")

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
        return wait is not None

    async def _wait(self, scope: Scope, known: StepState, seconds: float) -> None:
        until = self._journal.job_time() + seconds
        await self._waits.wait(
            scope, WaitOpened(key=_retry_key(known, known.attempt), kind="timer", name="retry", until=until)
        )


def _retry_key(known: StepState, attempt: int) -> str:
    return f"{known.key}{SUFFIX}#{attempt}"
