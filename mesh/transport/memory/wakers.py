"""Who wants to be woken whenever a connection is lost, back, or closed for good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Wakers:
    """Events that are set together, in the order in which they were added."""

    def __init__(self) -> None:
        self._events: dict[asyncio.Event, None] = {}

    def add(self, event: asyncio.Event) -> None:
        """Set it, too, from now on. Again: nothing happens."""
        self._events[event] = None

    def discard(self, event: asyncio.Event) -> None:
        """Leave it alone. Again: nothing happens."""
        self._events.pop(event, None)

    def wake(self) -> None:
        """Set them all."""
        for event in self._events:
            event.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds, looking whenever they are set. What `holds` raises ends the wait."""
        woken = asyncio.Event()
        self.add(woken)
        try:
            while not holds():
                woken.clear()
                await woken.wait()
        finally:
            self.discard(woken)
