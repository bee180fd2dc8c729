"""`Attention`: what an owner has an ear for while it drives a job: its inbox, and the times of what it waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from mesh.jobs.journals.journal import Journal
from mesh.jobs.waiting.inbox import Inbox, ready
from mesh.protocols.errors import LeaseLost, Transient
from mesh.protocols.job_events import Event
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Clock

logger = logging.getLogger("mesh.jobs")

RETRY, LONGEST_RETRY = 0.5, 30.0
"""Seconds after which a store that is away is asked again; after what should not happen, ever more of them."""
LONGEST = 3600.0
"""Seconds for which a timer of this process is set at most: not every loop can count further."""


class Attention:
    """The attention to one job. `heard` is called whenever something came of it; `decided` tells what operators' decisions make
    of the job now."""

    def __init__(
        self,
        journal: Journal,
        inbox: Inbox,
        clock: Clock,
        heard: Callable[[], None],
        decided: Callable[[JobState], tuple[Event, ...]] = lambda state: (),
    ) -> None:
        self._journal = journal
        self._inbox = inbox
        self._clock = clock
        self._heard = heard
        self._decided = decided
        self._unread = False
        self._wake = asyncio.Event()

    def look(self) -> None:
        """Something was said to the job: read its inbox."""
        self._unread = True
        self._wake.set()

    def rearm(self) -> None:
        """The job waits for something new, which may have a time; or operators have decided something."""
        self._wake.set()

    async def mind(self) -> None:
        """Journal what is said, and what comes due, for as long as the owner holds the job: an owner that is deaf would drive a
        job on that somebody has cancelled.

        Raises:
            LeaseLost: somebody else owns it by now.
        """
        pause = RETRY
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._until_next()):  # `wait_for` may swallow a cancellation, and never end
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._attend()
                pause = RETRY
            except LeaseLost:
                raise
            except Transient:
                self.look()
                await self._clock.sleep(RETRY)
            except Exception:
                logger.exception("what was said to job %s cannot be journaled now", self._journal.state.job)
                self.look()
                await self._clock.sleep(pause)
                pause = min(2 * pause, LONGEST_RETRY)

    async def _attend(self) -> None:
        """An answer that was stored before its wait was over counts, so what was said comes before what is due."""
        events = self._due()
        if self._unread or events:
            self._unread = False
            await self._read()
        if events or self._due():
            await self._journal.decide(self._due)
            self._heard()

    def _due(self) -> tuple[Event, ...]:
        state = self._journal.state
        return ready(state, self._journal.job_time()) + self._decided(state)

    async def _read(self) -> None:
        state, tenant = self._journal.state, self._journal.tenant
        for stored in await self._inbox.unread(state, tenant):
            await self._journal.decide(await self._inbox.decision(state, tenant, stored))
            self._heard()

    def _until_next(self) -> float | None:
        times = [each.opened.until for each in self._journal.state.open_waits if each.opened.until is not None]
        return min(LONGEST, max(0.0, min(times) - self._journal.job_time())) if times else None
