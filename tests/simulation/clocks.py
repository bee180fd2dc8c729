"""`LocalClock`: what one place believes the time is. Wall clocks are wrong and jump; monotonic clocks begin anywhere."""

from __future__ import annotations

import asyncio

from mesh.protocols.ports import Clock
from tests.simulation.loop import SimulatedLoop
from tests.simulation.place import Place

EPOCH = 1_800_000_000.0


class LocalClock(Clock):
    """The clock of one place. `skew` is what its wall clock is ahead of the true time; `jump` changes that."""

    def __init__(self, loop: SimulatedLoop, place: Place, skew: float = 0.0) -> None:
        self._loop = loop
        self._place = place
        self.skew = skew

    def now(self) -> float:
        """What the wall clock shows."""
        return EPOCH + self._loop.now + self.skew

    def monotonic(self) -> float:
        """Seconds since this machine was started."""
        return self._loop.now + self._place.offset

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(max(0.0, seconds))

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.skew += seconds
