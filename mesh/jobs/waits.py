"""`Waits`: where a workflow waits for a time, a person, a signal or another job. Each is journaled when it is opened, and its
answer when it comes; a run that comes to it again finds both.

While the owner holds the job, its `attention` finds the answers. When it lets go of the job, the server's timers and whoever
hears of an answer take over (`waking`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.jobs.inbox import deadline_of, ready
from mesh.jobs.journal import Journal
from mesh.jobs.scope import Scope
from mesh.jobs.stillness import Stillness
from mesh.jobs.timers import DEADLINE, Timers, token_of
from mesh.protocols.errors import Cancelled, LeaseLost, MeshError, ReplayDiverged
from mesh.protocols.job_events import WaitOpened, WaitResolved
from mesh.protocols.job_state import WaitState


class Waits:
    """The waits of one run. `opened` hears of each new one."""

    def __init__(self, journal: Journal, timers: Timers, stillness: Stillness, *, opened: Callable[[], None]) -> None:
        self._journal = journal
        self._timers = timers
        self._stillness = stillness
        self._opened = opened
        self._open: dict[str, asyncio.Future[None]] = {}
        self.cancelled: MeshError | None = None

    async def wait(self, scope: Scope, opened: WaitOpened) -> WaitResolved:
        """The answer, now or from before.

        Raises:
            Cancelled: the job is being cancelled. ReplayDiverged: the journal has another wait of this key. LeaseLost.
        """
        self._journal.check()
        known = self._journal.state.waits.get(opened.key)
        if known is None:
            self._may_wait(opened.key)
            known = await self._begin(opened)
        else:
            _compare(known.opened, opened)
        if known.answer is None:
            known = await self._answered(opened.key)
        scope.saw(known.resolved_at)
        assert known.answer is not None
        return known.answer

    def knows(self, key: str) -> WaitState | None:
        """The wait of that key, if the journal has one."""
        return self._journal.state.waits.get(key)

    def cancel(self, error: Cancelled) -> None:
        """Whoever waits, now or later, meets this error in place of an answer."""
        self.cancelled = error
        self.heard()

    async def set_timers(self) -> None:
        """Have the server mind the times of what is open, before the job is let go of.

        Raises:
            Transient: the store is out of reach.
        """
        state, tenant = self._journal.state, self._journal.tenant
        times = {token_of(each.opened.key): each.opened.until for each in state.open_waits}
        times[DEADLINE] = deadline_of(state)
        await asyncio.gather(
            *(self._timers.set(tenant, state.job, token, at) for token, at in times.items() if at is not None)
        )

    @property
    def answered(self) -> bool:
        """Whether there is an answer that the workflow has not been given."""
        waits = self._journal.state.waits
        given = all(waits[key].answer is None for key in self._open)
        return not given or bool(ready(self._journal.state, self._journal.job_time()))

    # -- one wait

    def _may_wait(self, key: str) -> None:
        if self.cancelled is not None:
            raise Cancelled(f"{key}: {self.cancelled.message}")

    async def _begin(self, opened: WaitOpened) -> WaitState:
        await self._journal.append(opened)
        self._opened()
        return self._journal.state.waits[opened.key]

    async def _answered(self, key: str) -> WaitState:
        self._may_wait(key)
        answered = self._open[key] = asyncio.get_running_loop().create_future()
        try:
            with self._stillness.waiting():
                await answered
        finally:
            del self._open[key]
        self._journal.check()
        known = self._journal.state.waits[key]
        if known.answer is None:
            self._may_wait(key)
            raise LeaseLost(f"job {self._journal.state.job}: {key} was given up")
        return known

    def heard(self) -> None:
        """Something was journaled: whoever has an answer goes on."""
        for key, answered in self._open.items():
            if not answered.done() and (
                self.cancelled is not None or self._journal.state.waits[key].answer is not None
            ):
                answered.set_result(None)


def _compare(known: WaitOpened, opened: WaitOpened) -> None:
    before, now = (known.kind, known.name, known.digest), (opened.kind, opened.name, opened.digest)
    if before != now:
        raise ReplayDiverged(
            f"at {opened.key!r} the journal waits for a {known.kind} ({known.name}), and the workflow now for a "
            f"{opened.kind} ({opened.name}){'' if before[:2] != now[:2] else ' about something else'}",
            detail={"key": opened.key, "journaled": list(before), "asked": list(now)},
        )
