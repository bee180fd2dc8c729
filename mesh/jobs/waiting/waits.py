"""`Waits`: where a workflow waits for a time, a person, a signal or another job. Each is journaled when it is opened, and its
answer when it comes; a run that comes to it again finds both.

While the owner holds the job, its `attention` finds the answers. When it lets go of the job, the server's timers and whoever
hears of an answer take over (`waking`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.jobs.journals.journal import Journal
from mesh.jobs.replay.course import Course
from mesh.jobs.replay.divergence import wait_differs
from mesh.jobs.replay.hold import Hold
from mesh.jobs.running.scope import Scope
from mesh.jobs.running.stillness import Stillness
from mesh.jobs.waiting.inbox import deadline_of, ready
from mesh.jobs.waiting.timers import DEADLINE, Timers, token_of
from mesh.protocols.errors import Cancelled, LeaseLost, MeshError
from mesh.protocols.job_events import WaitOpened, WaitResolved
from mesh.protocols.job_state import JobState
from mesh.protocols.job_wait_state import WaitState


def times_of(state: JobState) -> dict[str, float]:
    """The timers of a job that nobody drives: the token of each, and when it comes due, Unix seconds."""
    times = {token_of(each.opened.key): each.opened.until for each in state.open_waits}
    times[DEADLINE] = deadline_of(state)
    return {token: at for token, at in times.items() if at is not None}


class Waits:
    """The waits of one run. `opened` hears of each new one."""

    def __init__(
        self, journal: Journal, timers: Timers, stillness: Stillness, course: Course, *, opened: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._course = course
        self._timers = timers
        self._stillness = stillness
        self._opened = opened
        self._open: dict[str, asyncio.Future[None]] = {}
        self._owed: set[str] = set()
        self._shielded = False
        self.cancelled: MeshError | None = None
        self.hold: Hold | None = None

    async def wait(self, scope: Scope, opened: WaitOpened) -> WaitResolved:
        """The answer, now or from before.

        Raises:
            Cancelled: the job is being cancelled. ReplayDiverged: the journal has another wait of this key. LeaseLost.
        """
        known = await self.open(opened)
        if known.answer is None:
            known = await self._answered(opened.key)
        scope.saw(known.resolved_at)
        assert known.answer is not None
        return known.answer

    async def open(self, opened: WaitOpened) -> WaitState:
        """The wait, journaled now or before. Errors as in `wait`."""
        self._journal.check()
        self._course.check()
        known = self._journal.state.waits.get(opened.key)
        if self.hold is not None and (known is None or known.answer is None):
            await self.hold.here(opened.key)
        if known is None:
            self.may_wait(opened.key)
            return await self._begin(opened)
        divergence = wait_differs(known.opened, opened)
        if divergence is not None:
            self._course.differs(divergence)
        return known

    def shield(self, course: Course) -> None:
        """From now on the job may wait whatever has been said to it: what it had done is being undone."""
        self.cancelled, self._shielded, self._course = None, True, course

    def knows(self, key: str) -> WaitState | None:
        """The wait of that key, if the journal has one."""
        return self._journal.state.waits.get(key)

    def job_time(self) -> float:
        """Now, Unix seconds, by the server's clock."""
        return self._journal.job_time()

    def cancel(self, error: Cancelled) -> None:
        """Whoever waits, now or later, meets this error in place of an answer. Not what undoes the job's steps."""
        if not self._shielded:
            self.cancelled = error
            self.heard()

    async def set_timers(self) -> None:
        """Have the server mind the times of what is open, before the job is let go of.

        Raises:
            Transient: the store is out of reach.
        """
        state, tenant = self._journal.state, self._journal.tenant
        times = times_of(state)
        await asyncio.gather(*(self._timers.set(tenant, state.job, token, at) for token, at in times.items()))

    @property
    def answered(self) -> bool:
        """Whether there is an answer that the workflow has not been given; also one that was stored after the workflow had been
        stopped where it waited."""
        waits = self._journal.state.waits
        owed = any(waits[key].answer is not None for key in self._owed)
        return owed or bool(ready(self._journal.state, self._journal.job_time()))

    @property
    def decision(self) -> WaitOpened | None:
        """What a person must decide before the job can go on, if there is something."""
        waits = (each.opened for each in self._journal.state.open_waits)
        return next((each for each in waits if each.kind == "resolution"), None)

    def may_wait(self, key: str) -> None:
        """Whether anybody may begin to wait, or what is waited for be begun.

        Raises:
            Cancelled: the job is being cancelled.
        """
        if self.cancelled is not None:
            raise Cancelled(f"{key}: {self.cancelled.message}")

    # -- one wait

    async def _begin(self, opened: WaitOpened) -> WaitState:
        await self._journal.append(opened)
        self._opened()
        return self._journal.state.waits[opened.key]

    async def _answered(self, key: str) -> WaitState:
        self.may_wait(key)
        answered = self._open[key] = asyncio.get_running_loop().create_future()
        self._owed.add(key)
        try:
            with self._stillness.waiting():
                await answered
        except asyncio.CancelledError:
            if self._journal.frozen is None:  # the workflow itself does not wait for it any more
                self._owed.discard(key)
            raise
        finally:
            del self._open[key]
        self._owed.discard(key)
        self._journal.check()
        known = self._journal.state.waits[key]
        if known.answer is None:
            self.may_wait(key)
            raise LeaseLost(f"job {self._journal.state.job}: {key} was given up")
        return known

    def heard(self) -> None:
        """Something was journaled: whoever has an answer goes on."""
        for key, answered in self._open.items():
            if not answered.done() and (
                self.cancelled is not None or self._journal.state.waits[key].answer is not None
            ):
                answered.set_result(None)
