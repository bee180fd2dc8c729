"""Bounded work that a handler leaves for later: one chore a name, each at its time, none outliving the directory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mesh.protocols.errors import MeshError

logger = logging.getLogger("mesh.registry")

Work = Callable[[], Awaitable[None]]


class Chores:
    """Runs chores on the present loop. A chore that fails on the mesh is logged; whoever planned it may plan it again."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    def plan(self, name: str, delay: float, work: Work) -> None:
        """Run `work` after `delay` seconds. If a chore of that name is waiting, nothing happens."""
        if self._closed or name in self._waiting:
            return
        loop = asyncio.get_running_loop()
        self._waiting[name] = loop.call_later(delay, self._begin, name, work)

    def cancel(self, name: str) -> None:
        """Forget the chore if it has not begun."""
        if (handle := self._waiting.pop(name, None)) is not None:
            handle.cancel()

    async def stop(self) -> None:
        """Forget what waits, end what runs. Nothing can be planned afterwards."""
        self._closed = True
        for name in list(self._waiting):
            self.cancel(name)
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _begin(self, name: str, work: Work) -> None:
        self._waiting.pop(name, None)
        task = asyncio.get_running_loop().create_task(_guarded(name, work), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


async def _guarded(name: str, work: Work) -> None:
    try:
        await work()
    except MeshError as error:
        logger.info("%s: %s (%s)", name, error, error.code)
    except Exception:
        logger.exception("%s failed", name)
