"""`Alarms`: every deadline of a loop on one of its timers.

Nearly all deadlines are called off long before they are due. Setting and cancelling a timer of uvloop's costs 5 µs, an
alarm 1: it goes into a heap, and the loop only hears of the earliest. Alarms that were called off stay in the heap until
they are half of it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import threading
from collections.abc import Callable

FEW = 256
"""So many called-off alarms are never worth a clearing."""
RESOLUTION = 1e-9
"""Seconds by which an alarm may be early, as a timer of asyncio's: sums of floats are not exact."""
FAR = 3600.0
"""The loop is not asked for a timer further away than this: not every loop can count so far."""


class Alarm:
    """Something that is called at its time, unless it is called off before."""

    __slots__ = ("_alarms", "callback")

    def __init__(self, alarms: Alarms, callback: Callable[[], None]) -> None:
        self._alarms = alarms
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Call it off. Again, or after it rang: nothing happens."""
        if self.callback is not None:
            self.callback = None
            self._alarms.called_off += 1
            if self._alarms.called_off > FEW:
                self._alarms.clear()


class Alarms:
    """The alarms of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: list[tuple[float, int, Alarm]] = []
        self._order = itertools.count()
        self.called_off = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def at(self, when: float, callback: Callable[[], None]) -> Alarm:
        """Call `callback`, which must not raise, at the loop's time `when`; in the next turn if that has passed."""
        alarm = Alarm(self, callback)
        heapq.heappush(self._waiting, (when, next(self._order), alarm))
        if when < self._timer_at:
            self._set_timer(when)
        return alarm

    def clear(self) -> None:
        """Let go of those that were called off, once they are half of all."""
        if self.called_off * 2 > len(self._waiting):
            self._waiting = [each for each in self._waiting if each[2].callback is not None]
            heapq.heapify(self._waiting)
            self.called_off = 0

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self.loop.call_at(min(when, self.loop.time() + FAR), self._ring)

    def _ring(self) -> None:
        """Call what is due; the next timer is for the first that is still wanted."""
        self._timer, self._timer_at = None, math.inf
        try:
            self._call_due(self.loop.time() + RESOLUTION)
        finally:  # whatever one of them raised, the others are to ring
            if self._waiting and self._waiting[0][0] < self._timer_at:
                self._set_timer(self._waiting[0][0])

    def _call_due(self, now: float) -> None:
        while self._waiting and (self._waiting[0][0] <= now or self._waiting[0][2].callback is None):
            alarm = heapq.heappop(self._waiting)[2]
            callback, alarm.callback = alarm.callback, None
            if callback is None:
                self.called_off -= 1
            else:
                callback()


class _Here(threading.local):
    alarms: Alarms | None = None


_here = _Here()


def alarms() -> Alarms:
    """Those of the running loop."""
    loop = asyncio.get_running_loop()
    found = _here.alarms
    if found is None or found.loop is not loop:
        found = _here.alarms = Alarms(loop)
    return found
