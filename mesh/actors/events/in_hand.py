"""`InHand`: the events of one durable reaction that this process works on; one that has come again too often, alone.

An event that kills its process is never settled by anybody: it comes again, with those that were in hand beside it, and each
delivery counts against all of them. From `SUSPECT` deliveries on an event is taken in hand when nothing else is: the innocent
get on, and only the one that kills comes to its end (`LOST`, in `reactions`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SUSPECT = 3
"""Deliveries of an event from which on it is worked on alone."""
ALONE = 10.0
"""Seconds after which others may join it, and after which it joins others: what kills, kills soon, and a long handler is no
crime."""


class InHand:
    """At most `most` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    async def room(self) -> None:
        """Wait until one more may be taken."""
        while len(self._tasks) >= self._most:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def take(self, attempts: int, work: Callable[[], asyncio.Task[None]]) -> None:
        """Begin `work`; returns once the next one may be asked for. `attempts` are its deliveries so far."""
        suspect = attempts >= SUSPECT
        if suspect and self._tasks:
            await asyncio.wait(self._tasks, timeout=ALONE)
        task = work()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if suspect:
            await asyncio.wait({task}, timeout=ALONE)
