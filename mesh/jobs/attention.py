"""`Attention`: what an owner has an ear for while it drives a job: its inbox, and the times of what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from mesh.jobs.inbox import Inbox, ready
from mesh.jobs.journal import Journal
from mesh.protocols.errors import Transient
from mesh.protocols.ports import Clock

RETRY = 0.5
"""Seconds after which a store that is away is asked again."""
LONGEST = 3600.0
"""Seconds for which a timer of this process is set at most: not every loop can count further."""


class Attention:
    """The attention to one job. `heard` is called whenever something came of it."""

    def __init__(self, journal: Journal, inbox: Inbox, clock: Clock, heard: Callable[[], None]) -> None:
        self._journal = journal
        self._inbox = inbox
        self._clock = clock
        self._heard = heard
        self._unread = False
        self._wake = asyncio.Event()

    def look(self) -> None:
        """Something was said to the job: read its inbox."""
        self._unread = True
        self._wake.set()

    def rearm(self) -> None:
        """The job waits for something new, which may have a time."""
        self._wake.set()

    async def mind(self) -> None:
        """Journal what is said, and what comes due, for as long as the owner holds the job.

        Raises:
            LeaseLost: somebody else owns it by now.
        """
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._until_next())
            self._wake.clear()
            try:
                await self._attend()
            except Transient:
                self.look()
                await self._clock.sleep(RETRY)

    async def _attend(self) -> None:
        """An answer that was stored before its wait was over counts, so what was said comes before what is due."""
        events = ready(self._journal.state, self._journal.job_time())
        if self._unread or events:
            self._unread = False
            await self._read()
            events = ready(self._journal.state, self._journal.job_time())
        if events:
            await self._journal.append(*events)
            self._heard()

    async def _read(self) -> None:
        state, tenant = self._journal.state, self._journal.tenant
        for stored in await self._inbox.unread(state, tenant):
            await self._journal.append(*await self._inbox.events(state, tenant, stored))
            self._heard()

    def _until_next(self) -> float | None:
        times = [each.opened.until for each in self._journal.state.open_waits if each.opened.until is not None]
        return min(LONGEST, max(0.0, min(times) - self._journal.job_time())) if times else None
