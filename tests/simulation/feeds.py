"""What the server pushes: watches on buckets and followed streams, taken up again after every reconnect."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from mesh.protocols.errors import MeshError
from mesh.protocols.ports import BucketSpec, KeyValue, Stored
from mesh.transport.listeners import call_handler
from tests.simulation.client import SimulatedBus

RETRY_FIRST, RETRY_LONGEST = 0.02, 1.0


class SimulatedWatch:
    """A running watch. It remembers what its handler knows, so that after a gap it can tell exactly the difference."""

    def __init__(self, bus: SimulatedBus, spec: BucketSpec, handler: Callable[[KeyValue], None], pattern: str) -> None:
        self._bus = bus
        self._spec = spec
        self._handler = handler
        self._pattern = pattern
        self._known: dict[str, int] = {}
        self._generation = -1
        self._open = True
        self._number = 0
        self._stale = False
        self._early: list[KeyValue] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._current: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def current(self) -> Awaitable[None]:
        """Done when everything that was there at the start has been handed over."""
        return asyncio.shield(self._current)

    async def open(self) -> None:
        """Start it.

        Raises:
            MeshError: it could not be started, and is not running.
        """
        try:
            await self._create()
        except BaseException:
            await self.close()
            raise
        self._bus.on_reconnect(self._reset)

    async def close(self) -> None:
        """Stop it. Again: nothing happens."""
        self._open = False
        self._bus.off_reconnect(self._reset)
        if self._opening is not None:
            self._opening.cancel()
        self._bus.leave(self._number)
        self._current.cancel()

    def _reset(self) -> None:
        if self._open and (self._opening is None or self._opening.done()):
            self._opening = self._bus.background.start(self._reopen(), f"watch on {self._spec.name}")

    async def _reopen(self) -> None:
        pause = RETRY_FIRST
        while self._open and self._bus.connected:
            self._stale = False
            try:
                await self._create()
            except MeshError:
                await self._bus.clock.sleep(self._bus.ids.random.uniform(pause / 2, pause))
                pause = min(pause * 2, RETRY_LONGEST)
            else:
                if not self._stale:
                    return

    async def _create(self) -> None:
        self._bus.leave(self._number)
        number = self._number = self._bus.number()
        self._early = early = []
        self._bus.hear(number, lambda entry: self._pushed(number, entry))
        what = f"a watch on {self._spec.name}"
        generation, live = await self._bus.ask("watch", self._spec, self._pattern, what=what, number=number)
        if number != self._number:
            return  # taken up anew meanwhile
        self._snapshot(generation, live)
        self._early = None
        for entry in early:
            self._tell(entry)

    def _pushed(self, number: int, entry: KeyValue | None) -> None:
        """None: something may have been missed."""
        if number != self._number or not self._open:
            return
        if entry is None:
            self._stale = True
            self._reset()
            return
        if self._early is not None:
            self._early.append(entry)
        else:
            self._tell(entry)

    def _snapshot(self, generation: int, live: list[KeyValue]) -> None:
        anew = generation != self._generation
        self._generation = generation
        there = {entry.key for entry in live}
        for key in [key for key in self._known if key not in there]:
            self._tell(KeyValue(key, None, self._known[key]))
        for entry in live:
            if anew or self._known.get(entry.key) != entry.revision:
                self._tell(entry)
        if not self._current.done():
            self._current.set_result(None)

    def _tell(self, entry: KeyValue) -> None:
        if not self._open:
            return
        if entry.value is not None:
            self._known[entry.key] = entry.revision
        elif self._known.pop(entry.key, None) is None:
            return
        call_handler(self._handler, entry, f"a watch on {self._spec.name}")


async def follow(
    bus: SimulatedBus, stream: str, subject: str, after: int | None, since: float | None
) -> AsyncIterator[Stored]:
    """Hand out the stream, message by message, without a gap over reconnects."""
    news = asyncio.Event()
    queue: deque[Stored] = deque()
    number, cursor, asked = 0, after, since
    bus.waking(news)

    async def open_feed() -> None:
        nonlocal number
        number = bus.number()
        bus.hear(number, lambda stored: (queue.append(stored), news.set()))
        await bus.ask("follow", stream, subject, cursor, asked, what=f"following {stream}", number=number)

    try:
        await open_feed()
        connection = bus.client
        while True:
            news.clear()
            bus.check_open()
            while queue:
                stored = queue.popleft()
                if asked is None and cursor is not None and stored.sequence <= cursor:
                    continue
                cursor, asked = stored.sequence, None
                yield stored
            if bus.connected and bus.client != connection:
                connection = bus.client
                try:
                    await open_feed()
                except MeshError:
                    connection = ("", 0)
                    await bus.clock.sleep(bus.ids.random.uniform(RETRY_FIRST, RETRY_LONGEST))
                    news.set()
            await news.wait()
    finally:
        bus.not_waking(news)
        bus.leave(number)
