"""`Stillness`: whether a run does anything. When every line of the workflow waits for something outside, no process need
hold the job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from mesh.protocols.ports import Clock

LINGER = 0.05
"""Seconds of stillness before a job is let go of: an answer that comes at once finds it still here."""
TURNS = 32
"""Turns of the loop in which code between two steps may still be on its way to the next one."""


class Stillness:
    """Counts the steps under way and the lines that wait. Between steps a workflow only computes, so when nothing is under way
    and nothing has moved for a while, everything that is left waits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._working = 0
        self._waiting = 0
        self._moves = 0
        self._interrupted = False
        self._changed = asyncio.Event()

    def interrupt(self, interrupted: bool) -> None:
        """Whether what is under way is not to be waited for."""
        if interrupted != self._interrupted:
            self._interrupted = interrupted
            self._moved()

    @contextmanager
    def working(self) -> Iterator[None]:
        """A step is under way within."""
        self._moved(working=1)
        try:
            yield
        finally:
            self._moved(working=-1)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A line of the workflow waits within."""
        self._moved(waiting=1)
        try:
            yield
        finally:
            self._moved(waiting=-1)

    async def settled(self) -> int:
        """Wait until the run has been still for `LINGER`; gives what `unmoved` takes."""
        while True:
            while not self._still:
                self._changed.clear()
                await self._changed.wait()
            moves = self._moves
            await self._clock.sleep(LINGER)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            if self.unmoved(moves):
                return moves

    def unmoved(self, moves: int) -> bool:
        """Whether it has been still ever since."""
        return self._still and moves == self._moves

    @property
    def _still(self) -> bool:
        return self._interrupted or (self._waiting > 0 and self._working == 0)

    def _moved(self, working: int = 0, waiting: int = 0) -> None:
        self._working += working
        self._waiting += waiting
        self._moves += 1
        self._changed.set()
