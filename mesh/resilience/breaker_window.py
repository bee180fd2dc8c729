"""`Window`: how many of the latest calls failed or were slow, in slices of time. Sans-IO: it is told the time."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import msgspec


class Slot(msgspec.Struct):
    """The calls of one slice of the window."""

    number: int
    calls: int = 0
    failed: int = 0
    slow: int = 0


class Counts(NamedTuple):
    """What the window holds."""

    calls: int
    failed: int
    slow: int


class Window:
    """The last `seconds`, in `slots` slices: what it forgets, it forgets a slice at a time."""

    __slots__ = ("_a_second", "_kept", "_slots")

    def __init__(self, seconds: float, slots: int) -> None:
        self._kept = slots
        self._a_second = slots / seconds
        self._slots: deque[Slot] = deque()

    def slot(self, now: float) -> Slot:
        """The present slice, to count in; those that have left the window are forgotten."""
        number = int(now * self._a_second)
        slots = self._slots
        if slots and slots[-1].number == number:
            return slots[-1]
        while slots and slots[0].number <= number - self._kept:
            slots.popleft()
        if not slots or slots[-1].number < number:
            slots.append(Slot(number))
        return slots[-1]

    def counts(self, now: float) -> Counts:
        """Calls, failures and slow calls in the window."""
        self.slot(now)
        slots = self._slots
        return Counts(
            sum(each.calls for each in slots), sum(each.failed for each in slots), sum(each.slow for each in slots)
        )

    def clear(self) -> None:
        """Forget everything."""
        self._slots.clear()
