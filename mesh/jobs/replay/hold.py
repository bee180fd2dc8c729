"""`Hold`: recalling what a job did, without going on. The workflow is run from the top once more, every line of it up to where
the journal ends; there it is held. That is how an owner learns how the steps of a job are undone that it has not driven
itself, or that ran out of time before its workflow came to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mesh.jobs.running.stillness import Stillness
from mesh.protocols.errors import Cancelled
from mesh.protocols.ports import Clock

WITHIN = 60.0
"""Seconds that recalling may take: code between two steps that waits for something of its own must not hold the job for ever."""


class Hold:
    """One recalling. What comes to the end of the journal waits in `here`, until everything does; then it meets `Cancelled`.
    `held` are the keys that it came to. One that `learns` also looks into what the workflow does not come to any more: what was
    done there is to be undone, too."""

    def __init__(self, clock: Clock, job: str, *, learns: bool = False) -> None:
        self.learns = learns
        self._aside: list[asyncio.Future[Any]] = []
        self._stillness = Stillness(clock)
        self._job = job
        self.held: list[str] = []
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._over.add_done_callback(lambda over: over.exception())

    async def recall(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Run the workflow as far as the journal goes, and say whether that was to its end; what it returns or raises is of no
        interest."""
        running = asyncio.ensure_future(work)
        settled = asyncio.ensure_future(self._stillness.settled())
        try:
            await asyncio.wait({running, settled}, timeout=WITHIN, return_when=asyncio.FIRST_COMPLETED)
            if self._aside:
                all_aside: asyncio.Future[Any] = asyncio.gather(*self._aside, return_exceptions=True)
                await asyncio.wait({all_aside, settled}, timeout=WITHIN, return_when=asyncio.FIRST_COMPLETED)
            return running.done()
        finally:
            self._over.set_exception(Cancelled(f"job {self._job} is being undone"))
            tasks: Sequence[asyncio.Future[Any]] = (running, settled, *self._aside)
            while tasks:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                tasks = [each for each in self._aside if not each.done()]

    def aside(self, work: Awaitable[Any]) -> None:
        """Do this, too, as far as the journal goes. Nobody waits for what comes of it."""
        self._aside.append(asyncio.ensure_future(work))

    async def here(self, key: str) -> None:
        """The journal ends here, before the step, wait or artifact of this key.

        Raises:
            Cancelled: once every line has come to its end.
        """
        self.held.append(key)
        with self._stillness.waiting():
            await asyncio.shield(self._over)

    @contextmanager
    def recalling(self) -> Iterator[None]:
        """A result is being fetched within."""
        with self._stillness.working():
            yield
