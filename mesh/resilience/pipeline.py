"""`repeat`: the attempts after a first that failed, bounded and under the call's deadline; each has its own breaker.

The first attempt is the caller's own: it checks the deadline, tells the budget (`called`) and makes the attempt, with
nothing between it and its caller. Tenacity only comes in when there is something to repeat.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mesh.protocols.constraints import Effect
from mesh.protocols.errors import DeadlineExceeded, MeshError, TimedOut
from mesh.protocols.ports import Clock
from mesh.resilience.budget import RetryBudget
from mesh.resilience.deadline import Deadline
from mesh.resilience.retry import RetryPolicy, mark, repeatable

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")
Attempt = Callable[[int], Awaitable[T]]

DEFAULT = RetryPolicy()


async def repeat(
    attempt: Attempt[T],
    first: MeshError,
    *,
    deadline: Deadline,
    clock: Clock,
    source: random.Random,
    budget: RetryBudget,
    effect: Effect = "costly",
    policy: RetryPolicy = DEFAULT,
    what: object = "the call",
) -> T:
    """`attempt(1)` has failed with `first`: make further ones while that is safe, may help, and time and budget allow.

    `what` is for messages only.

    Raises:
        DeadlineExceeded: the time is up; its cause is the last attempt's error. Otherwise that error itself.
    """
    if policy.attempts > 1 and repeatable(first, effect):
        return await _Retries(deadline, clock, source, budget, effect, policy, what).run(attempt, first)
    raise at_the_end(first, deadline, what)


class _Retries(msgspec.Struct):
    """The attempts after the first, by tenacity, which is handed the first one's failure as attempt number one."""

    deadline: Deadline
    clock: Clock
    source: random.Random
    budget: RetryBudget
    effect: Effect
    policy: RetryPolicy
    what: object
    made: int = 0

    async def run(self, attempt: Attempt[T], first: MeshError) -> T:
        import tenacity

        async def once() -> T:
            self.made += 1
            if self.made == 1:
                raise first
            self.deadline.check(self.what)
            return await attempt(self.made)

        retrying = tenacity.AsyncRetrying(
            wait=self._pause,
            stop=self._over,
            retry=tenacity.retry_if_exception(lambda error: repeatable(error, self.effect)),
            sleep=self.clock.sleep,
            reraise=True,
        )
        try:
            return await retrying(once)
        except MeshError as error:
            raise at_the_end(error, self.deadline, self.what, attempts=self.made) from error.__cause__

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        return self.policy.pause(state.attempt_number, error, self.source)

    def _over(self, state: RetryCallState) -> bool:
        if state.attempt_number >= self.policy.attempts or self.deadline.remaining() <= state.upcoming_sleep:
            return True
        return not self.budget.spend()


def at_the_end(error: MeshError, deadline: Deadline, what: object, *, attempts: int = 1) -> MeshError:
    """The error that its caller gets. It was here that it could be repeated: it is marked, lest others do so once more.

    An attempt that had all the time there was has met the deadline, not a time-out that a retry could help.
    """
    if not (isinstance(error, TimedOut) and deadline.expired):
        mark(error, attempts)
        return error
    late = DeadlineExceeded(f"{what}: {error.message}", origin=error.origin, detail=error.detail)
    late.__cause__ = error
    return late
