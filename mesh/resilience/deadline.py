"""A point in time after which nobody waits any more.

Absolute here, on the monotonic clock; on the wire it is the time remaining, so that wall clocks need not agree.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import msgspec

from mesh.protocols.errors import DeadlineExceeded
from mesh.protocols.ports import Clock
from mesh.resilience.alarms import Alarm, alarms


class Deadline(msgspec.Struct, frozen=True, gc=False):
    """An absolute deadline. `at` is in seconds on `clock.monotonic`."""

    clock: Clock
    at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        """The deadline `seconds` from now; one in the past has expired already."""
        return cls(clock, clock.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at - self.clock.monotonic()

    @property
    def expired(self) -> bool:
        """Whether it has passed."""
        return self.clock.monotonic() >= self.at

    def narrow(self, seconds: float | None) -> Deadline:
        """The earlier of this one and `seconds` from now: a child never gets more time than its parent has."""
        if seconds is None:
            return self
        at = self.clock.monotonic() + seconds
        return self if at >= self.at else Deadline(self.clock, at)

    def check(self, what: object = "the work") -> None:
        """Go on only if there is time left.

        Raises:
            DeadlineExceeded: it has passed.
        """
        if self.expired:
            raise DeadlineExceeded(f"the deadline passed before {what} could start")

    def enforce(self, what: str = "the work") -> Enforcement:
        """`async with deadline.enforce():` cancels its body when the time is up.

        Raises:
            DeadlineExceeded: in place of the cancelled body.
        """
        return Enforcement(self, what)


class Enforcement:
    """The running enforcement of one deadline around one block. What `asyncio.timeout` does, on an alarm."""

    __slots__ = ("_alarm", "_at", "_before", "_expired", "_task", "_what")

    _alarm: Alarm
    _task: asyncio.Task[Any]
    _before: int

    def __init__(self, deadline: Deadline, what: str) -> None:
        self._at = deadline.at
        self._what = what
        self._expired = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is enforced by cancelling a task: there is none here")
        self._task = task
        self._before = task.cancelling()
        self._alarm = alarms().at(self._at, self._expire)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarm.cancel()
        if self._expired and self._task.uncancel() <= self._before and isinstance(error, asyncio.CancelledError):
            raise DeadlineExceeded(f"the deadline passed while {self._what} was under way") from None

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
