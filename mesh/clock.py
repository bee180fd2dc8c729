"""Time, identity and chance as they are outside: the one place that reads the machine's clock and its randomness.

Everything above is handed a `Clock` and an `Ids`; tests hand in `mesh.testing.virtual_time` instead.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import time
from collections.abc import Callable, Iterator

from mesh.protocols.ports import Clock

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_COUNTER_BITS = 12
_AT_ONCE = 4096


class SystemClock(Clock):
    """The machine's clock. `now` may jump, `monotonic` only goes forward; asyncio and uvloop read the same source.

    Both are the library's own functions: an ask reads the time eight times, and a method around them would double that.
    """

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

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
        self._stamp = ""
        self._within = 0

    @property
    def random(self) -> random.Random:
        """The source of jitter and tie-breaks."""
        return self._random

    def uuid(self) -> str:
        """A new uuid7; those of one process ascend even within a millisecond and when the clock steps back."""
        millisecond = int(self._clock.now() * 1000)
        if millisecond > self._millisecond:
            self._stamp_with(millisecond, self._bits(_COUNTER_BITS - 1))
        else:
            self._within += 1
            if self._within >> _COUNTER_BITS:
                self._stamp_with(self._millisecond + 1, 0)
        low = self._bits(62)
        return "%s%03x-%04x-%012x" % (self._stamp, self._within, low >> 48 | 0x8000, low & 0xFFFFFFFFFFFF)  # noqa: UP031 - a third less than an f-string

    def token(self) -> str:
        """A new short token; a random prefix keeps those of a restarted process apart from its predecessor's."""
        self._count += 1
        return f"{self._prefix}{self._count:x}"

    def _stamp_with(self, millisecond: int, within: int) -> None:
        """RFC 9562 §6.2: the time, then a counter in `rand_a` that starts at random in its lower half."""
        self._millisecond = millisecond
        self._within = within
        text = f"{millisecond & 0xFFFFFFFFFFFF:012x}"
        self._stamp = f"{text[:8]}-{text[8:]}-7"


class MachineBits:
    """Random bits of the machine, read 4 KiB at a time: asking it for each id took 2 of an id's 4 µs.

    A forked child forgets what its parent had read, so that no two processes ever draw the same.
    """

    def __init__(self) -> None:
        self._words: Iterator[tuple[int]] = iter(())
        os.register_at_fork(after_in_child=self._forget)

    def __call__(self, count: int) -> int:
        """An integer of `count` bits, at most 64."""
        for (word,) in self._words:
            return word >> (64 - count)
        self._words = struct.iter_unpack("=Q", os.urandom(_AT_ONCE))
        return self(count)

    def _forget(self) -> None:
        self._words = iter(())


machine_bits = MachineBits()


class SystemIds(RandomIds):
    """Identity from the machine's randomness."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock or SystemClock(), random.Random(), machine_bits)


class SeededIds(RandomIds):
    """Identity that repeats: for tests and simulations."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        source = random.Random(seed)
        super().__init__(clock, source, random.Random(seed + 1).getrandbits)
