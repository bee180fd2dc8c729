"""Time, identity and chance as they are outside: the one place that reads the machine's clock and its randomness.

Everything above is handed a `Clock` and an `Ids`; tests hand in `mesh.testing.virtual_time` instead.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from mesh.protocols.ports import Clock

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_COUNTER_BITS = 12


class SystemClock(Clock):
    """The machine's clock."""

    def now(self) -> float:
        """Unix seconds. May jump."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only go forward; asyncio and uvloop read the same source."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; a negative time is no wait."""
        await asyncio.sleep(max(0.0, seconds))


class RandomIds:
    """Identity drawn from the randomness it is handed: the same seed and clock give the same ids."""

    def __init__(self, clock: Clock, source: random.Random, bits: Callable[[int], int]) -> None:
        self._clock = clock
        self._random = source
        self._bits = bits
        self._count = 0
        self._prefix = "".join(_DIGITS[bits(30) % 36] for _ in range(4))
        self._millisecond = 0
        self._within = 0

    @property
    def random(self) -> random.Random:
        """The source of jitter and tie-breaks."""
        return self._random

    def uuid(self) -> str:
        """A new uuid7; those of one process ascend even within a millisecond and when the clock steps back."""
        millisecond = self._tick(int(self._clock.now() * 1000))
        high = (millisecond & 0xFFFFFFFFFFFF) << 16 | 0x7000 | self._within
        low = 0x8000000000000000 | self._bits(62)
        text = f"{high:016x}{low:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def token(self) -> str:
        """A new short token; a random prefix keeps those of a restarted process apart from its predecessor's."""
        self._count += 1
        return self._prefix + _base36(self._count)

    def _tick(self, millisecond: int) -> int:
        """The millisecond to stamp: RFC 9562 §6.2, a counter in `rand_a` that starts at random in its lower half."""
        if millisecond > self._millisecond:
            self._millisecond = millisecond
            self._within = self._bits(_COUNTER_BITS - 1)
        elif self._within + 1 < 1 << _COUNTER_BITS:
            self._within += 1
        else:
            self._millisecond += 1
            self._within = 0
        return self._millisecond


class SystemIds(RandomIds):
    """Identity from the machine's randomness."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock or SystemClock(), random.Random(), random.SystemRandom().getrandbits)


class SeededIds(RandomIds):
    """Identity that repeats: for tests and simulations."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        source = random.Random(seed)
        super().__init__(clock, source, random.Random(seed + 1).getrandbits)


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text
