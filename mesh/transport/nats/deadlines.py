"""When questions have waited long enough, to within a tick: one timer for all of them.

A timer of the event loop for each would cost more than sending the question. Questions whose time is up in the same tick
share a slot; the timer is set for the first slot that still holds any.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

TICKS = 250
"""Slots a second: nobody waits more than 4 ms too long, and nobody less than was asked for."""
INEXACT = 1e-6
"""Ticks that a sum of floats may be wrong by: a timer that rings at its time must find its slot due."""


class Deadlines:
    """Tokens by when their time is up; `expired` is called with each that is still there then."""

    def __init__(self, expired: Callable[[bytes], None]) -> None:
        self._expired = expired
        self._slots: dict[int, set[bytes]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, loop: asyncio.AbstractEventLoop, token: bytes, timeout: float) -> set[bytes]:
        """Returns the slot the token is in; taking it out of there is all that ends its wait."""
        tick = int((loop.time() + timeout) * TICKS) + 1
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
            heapq.heappush(self._order, tick)
            if self._order[0] == tick:
                self._set_timer(loop, tick)
        slot.add(token)
        return slot

    def clear(self) -> None:
        """Nobody waits any more."""
        self._slots.clear()
        self._order.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, loop: asyncio.AbstractEventLoop, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(tick / TICKS, self._ring)

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time() * TICKS + INEXACT
        while self._order and (self._order[0] <= now or not self._slots[self._order[0]]):
            for token in self._slots.pop(heapq.heappop(self._order)):
                self._expired(token)
        if self._order:
            self._set_timer(loop, self._order[0])
