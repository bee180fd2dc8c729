"""`Quarantine`: jobs over which several owners were lost are driven one after the other in a process.

One of them may kill whoever drives it, and takes the others that are driven there with it: each death counts against all of
them. One at a time, the innocent get on, and only the one that kills comes to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SUSPECT = 3
"""Owners lost over a job, one after the other, from which on it is driven apart from others like it."""
LONGEST = 10.0
"""Seconds after which the next one may begin: what kills, kills soon, and a long step is no crime."""


class Quarantine:
    """The suspects of one process."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)

    async def enter(self) -> Callable[[], None]:
        """Wait until no other suspect is driven here, or has been for `LONGEST` seconds; gives what ends it. Again: nothing
        happens."""
        await self._free.acquire()
        inside = True

        def leave() -> None:
            nonlocal inside
            if inside:
                inside = False
                timer.cancel()
                self._free.release()

        timer = asyncio.get_running_loop().call_later(LONGEST, leave)
        return leave
