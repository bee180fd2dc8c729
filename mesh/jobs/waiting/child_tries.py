"""`ChildTries`: a child that ran out of time is begun anew, as its policy says: each time another job, under a key of its own."""

from __future__ import annotations

import random

from mesh.jobs.authoring.policy import StepPolicy
from mesh.jobs.running.scope import Scope
from mesh.jobs.waiting.children import Children, ChildTerms
from mesh.jobs.waiting.waits import Waits
from mesh.protocols.errors import DeadlineExceeded
from mesh.protocols.job_events import Value, WaitOpened


class ChildTries:
    """Those of one `job.child`. Its waits, and the pauses between them, are journaled like any other."""

    def __init__(self, children: Children, waits: Waits, policy: StepPolicy, chance: random.Random) -> None:
        self.policy = policy
        self._children = children
        self._waits = waits
        self._chance = chance

    async def result(self, scope: Scope, whole: str, terms: ChildTerms) -> Value:
        """What the child came to, or the last of them. Errors as in `Children.result`."""
        attempts = self.policy.attempts if self.policy.on_timeout in ("retry", "back_off") else 1
        for number in range(1, attempts):
            try:
                return await self._children.result(scope, _key(scope, whole, number), terms)
            except DeadlineExceeded:
                if self.policy.on_timeout == "back_off":
                    await self._pause(scope, whole, number)
        return await self._children.result(scope, _key(scope, whole, attempts), terms)

    async def _pause(self, scope: Scope, whole: str, number: int) -> None:
        key = f"{whole}/~back_off#{number}"
        scope.ahead.came_to(f"{whole}/", key)
        known = self._waits.knows(key)
        seconds = self.policy.pause(number, self._chance)
        until = self._waits.job_time() + seconds
        opened = known.opened if known else WaitOpened(key=key, kind="timer", name="back_off", until=until)
        await self._waits.wait(scope, opened)


def _key(scope: Scope, whole: str, number: int) -> str:
    if number == 1:
        return whole
    key = f"{whole}/~retry#{number - 1}"
    scope.ahead.came_to(f"{whole}/", key)
    return key
