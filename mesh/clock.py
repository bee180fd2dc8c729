"""Time, identity and chance as they are outside: the one place that reads the machine's clock and its randomness.

Everything above is handed a `Clock` and an `Ids`; tests hand in `mesh.testing.virtual_time` instead.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from weakref import WeakSet

from mesh.protocols.ports import Clock

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_AT_ONCE = 64
_HEX_DIGITS = 18


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
    """Identity drawn from the randomness it is handed: the same seed and clock give the same ids.

    The ids of one millisecond share their random end and are told apart by a counter; `bits` is asked for 64 ends at once.
    To ask the machine for each id took 2 of an id's 4 µs.
    """

    def __init__(self, clock: Clock, source: random.Random, bits: Callable[[int], int]) -> None:
        self._now = clock.now
        self._random = source
        self._bits = bits
        self._count = 0
        self._prefix = "".join(_DIGITS[bits(30) % 36] for _ in range(4))
        self._drawn: list[str] = []
        self._millisecond = 0
        self._stamp = ""
        self._within = 0
        self._end = ""

    @property
    def random(self) -> random.Random:
        """The source of jitter and tie-breaks."""
        return self._random

    def uuid(self) -> str:
        """A new uuid7; those of one process ascend even within a millisecond and when the clock steps back."""
        millisecond = int(self._now() * 1000)
        if millisecond > self._millisecond:
            self._begin(millisecond)
        else:
            self._within += 1
            if self._within > 0xFFF:
                self._begin(self._millisecond + 1)
        return f"{self._stamp}{self._within:03x}{self._end}"

    def token(self) -> str:
        """A new short token; a random prefix keeps those of a restarted process apart from its predecessor's."""
        self._count += 1
        return f"{self._prefix}{self._count:x}"

    def forget(self) -> None:
        """Use none of the bits that are drawn already."""
        self._drawn.clear()
        self._begin(self._millisecond)

    def _begin(self, millisecond: int) -> None:
        """RFC 9562 §6.2: the time, then a counter in `rand_a` that starts at random in its lower half."""
        if not self._drawn:
            self._draw()
        digits, text = self._drawn.pop(), f"{millisecond & 0xFFFFFFFFFFFF:012x}"
        self._millisecond = millisecond
        self._stamp = f"{text[:8]}-{text[8:]}-7"
        self._within = int(digits[:3], 16) >> 1
        self._end = f"-8{digits[3:6]}-{digits[6:]}"

    def _draw(self) -> None:
        digits = _AT_ONCE * _HEX_DIGITS
        text = f"{self._bits(4 * digits):0{digits}x}"
        self._drawn = [text[at : at + _HEX_DIGITS] for at in range(0, digits, _HEX_DIGITS)]


class SystemIds(RandomIds):
    """Identity from the machine's randomness. A forked child uses no bits that its parent has drawn."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock or SystemClock(), random.Random(), random.SystemRandom().getrandbits)
        _system_ids.add(self)


_system_ids: WeakSet[SystemIds] = WeakSet()


def _forget_drawn() -> None:
    for each in _system_ids:
        each.forget()


os.register_at_fork(after_in_child=_forget_drawn)


class SeededIds(RandomIds):
    """Identity that repeats: for tests and simulations."""

    def __init__(self, clock: Clock, seed: int = 0) -> None:
        source = random.Random(seed)
        super().__init__(clock, source, random.Random(seed + 1).getrandbits)
