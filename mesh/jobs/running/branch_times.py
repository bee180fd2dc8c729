"""`BranchTimes`: how long the branches of a run may take. An owner minds that itself; before it lets go of the job each time is
journaled as a timer, `<branch>/~time`, so that it is up also where nobody holds the job.

What the journal says of it counts, in this run as in every replay: a branch whose timer came due has failed, however far it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal, TypeVar

from mesh.jobs.journals.journal import Journal
from mesh.jobs.running.scope import Scope
from mesh.jobs.waiting.waits import Waits
from mesh.protocols.errors import DeadlineExceeded
from mesh.protocols.job_events import Event, WaitOpened, WaitResolved
from mesh.protocols.ports import Clock
from mesh.resilience.deadline import Deadline

SUFFIX = "/~time"
"""Ends the key of the timer."""

T = TypeVar("T")


class BranchTimes:
    """Those of one run."""

    def __init__(self, clock: Clock, journal: Journal, waits: Waits) -> None:
        self._clock = clock
        self._journal = journal
        self._waits = waits
        self._under_way: dict[str, float] = {}
        """The keys of the timers of branches that have not ended, and until when these have time."""

    async def within(self, scope: Scope, branch: str, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        """Do the work, within what is left of its time. One that was over in time before is only recalled.

        Raises:
            DeadlineExceeded: it was not done by then, now or before. Whatever the work raises. LeaseLost.
        """
        key = branch + SUFFIX
        scope.ahead.came_to(f"{branch}/", key)
        if self.has_run_out(branch):
            raise _late(branch)
        known = self._waits.knows(key)
        if self._waits.hold is not None or (known is not None and known.answer is not None):
            return await work
        now = self._journal.job_time()
        until = known.opened.until if known is not None and known.opened.until is not None else now + seconds
        return await self._in_time(branch, until, Deadline.after(self._clock, max(0.0, until - now)), work)

    def has_run_out(self, branch: str) -> bool:
        """Whether the journal says that it was not done in time."""
        failed, timer = self._journal.state.steps.get(branch), self._waits.knows(branch + SUFFIX)
        due = timer is not None and timer.answer is not None and timer.answer.how == "due"
        return due or (failed is not None and failed.fault is not None)

    async def keep(self) -> None:
        """Journal those that are under way: the job is about to be let go of.

        Raises:
            LeaseLost: it is somebody else's.
        """
        opened = [
            WaitOpened(key=key, kind="timer", name="branch", until=until)
            for key, until in self._under_way.items()
            if self._waits.knows(key) is None
        ]
        if opened:
            await self._journal.append(*opened)

    async def _in_time(self, branch: str, until: float, deadline: Deadline, work: Coroutine[Any, Any, T]) -> T:
        key = branch + SUFFIX
        self._under_way[key] = until
        try:
            async with deadline.enforce(f"branch {branch}"):
                result = await work
        except asyncio.CancelledError:
            raise
        except BaseException:
            await self._over(branch, "due" if deadline.expired else "dropped")
            raise
        finally:
            del self._under_way[key]
        await self._over(branch, "dropped")
        return result

    async def _over(self, branch: str, how: Literal["due", "dropped"]) -> None:
        """The branch has ended: its timer, if it has one, is answered so, unless it came due a moment ago."""
        key = branch + SUFFIX
        if self._waits.knows(key) is None:
            return

        def answer() -> tuple[Event, ...]:
            known = self._waits.knows(key)
            at = known.opened.until if known is not None and how == "due" else None
            return () if known is None or known.answer is not None else (WaitResolved(key=key, how=how, at=at or 0.0),)

        await self._journal.decide(answer)
        if self.has_run_out(branch):
            raise _late(branch)


def _late(branch: str) -> DeadlineExceeded:
    return DeadlineExceeded(f"the deadline passed while branch {branch} was under way")
