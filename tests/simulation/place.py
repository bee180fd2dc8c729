"""`Place`: one simulated operating-system process. Everything that runs in it carries it in its context.

A handle, a timer and a task belong to the place that stands in their context. When a place dies, nothing of it is run any
more, not even a `finally`: what was suspended stays so, and is kept alive until the simulation ends, for to let go of a
coroutine runs its code.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from mesh.resilience.alarms import Alarms

if TYPE_CHECKING:
    from tests.simulation.step import Step

HERE: ContextVar[Place] = ContextVar("the place that runs")


class Place:
    """One start of a process. `offset` is what its monotonic clock is ahead of the loop's."""

    def __init__(self, name: str, start: int = 1, offset: float = 0.0) -> None:
        self.name = name
        self.start = start
        self.offset = offset
        self.alive = True
        self.stopped = False
        """SIGSTOP, or a machine that swaps: nothing runs, nothing is lost."""
        self.fuse = -1
        """So many steps from now it is killed; below zero: never."""
        self.ready: deque[Step] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        """Kept once it is dead."""
        self.alarms: Alarms | None = None
        self.context: Context = copy_context()
        self.context.run(HERE.set, self)

    def __repr__(self) -> str:
        return f"{self.name}-{self.start}" if self.start > 1 else self.name
