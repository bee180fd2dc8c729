"""A point in time after which nobody waits any more.

Absolute here, on the monotonic clock; on the wire it is the time remaining, so that wall clocks need not agree.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType

from mesh.protocols.errors import DeadlineExceeded
from mesh.protocols.ports import Clock


@dataclass(frozen=True, slots=True)
class Deadline:
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

    def check(self, what: str = "the work") -> None:
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
    """The running enforcement of one deadline around one block."""

    __slots__ = ("_timeout", "_what")

    def __init__(self, deadline: Deadline, what: str) -> None:
        self._timeout = asyncio.timeout_at(deadline.at)
        self._what = what

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise DeadlineExceeded(f"the deadline passed while {self._what} was under way") from None
