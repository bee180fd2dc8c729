"""One client's view of a bucket, and its watches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import KeyValue
from mesh.transport.listeners import call_handler
from mesh.transport.matching import matches

if TYPE_CHECKING:
    from mesh.transport.memory.bucket import KeySpace
    from mesh.transport.memory.bus import MemoryBus
    from mesh.transport.memory.storage import Storage


class MemoryBucket:
    """Keys with revisions, over this client's connection."""

    def __init__(self, bus: MemoryBus, storage: Storage, space: KeySpace) -> None:
        self._bus = bus
        self._storage = storage
        self._space = space

    async def get(self, key: str) -> KeyValue | None:
        """The live value, or None."""
        await self._ask()
        return self._space.get(key)

    async def put(self, key: str, value: bytes, *, ttl: int | None = None, revision: int | None = None) -> int:
        """Write, and return the new revision."""
        await self._ask()
        written = self._space.put(key, value, ttl, revision)
        await self._bus.round_trip()
        return written

    async def delete(self, key: str, *, revision: int | None = None) -> None:
        """Purge the key; watchers are told."""
        await self._ask()
        self._space.delete(key, revision)
        await self._bus.round_trip()

    async def all(self) -> list[KeyValue]:
        """Every live key."""
        await self._ask()
        return self._space.live()

    async def watch(self, handler: Callable[[KeyValue], None], *, keys: str = ">") -> MemoryWatch:
        """Call `handler` with every live value, then with every change."""
        await self._ask()
        return MemoryWatch(self._bus, self._space, handler, keys)

    async def _ask(self) -> None:
        await self._bus.round_trip()
        self._storage.check()


class MemoryWatch:
    """A running watch. It remembers what its handler knows, so that after a gap it can tell exactly the difference."""

    def __init__(
        self,
        bus: MemoryBus,
        space: KeySpace,
        handler: Callable[[KeyValue], None],
        pattern: str,
    ) -> None:
        self._bus = bus
        self._space = space
        self._handler = handler
        self._pattern = pattern
        self._known: dict[str, int] = {}
        self._generation = space.generation
        self._open = True
        self._current: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        space.watchers.append(self._changed)
        bus.on_reconnect(self._synchronise)
        bus.on_close(self._fail)
        self._synchronise()

    @property
    def current(self) -> Awaitable[None]:
        """Done when everything that was there at the start has been handed over."""
        return asyncio.shield(self._current)

    async def close(self) -> None:
        """Stop it. Again: nothing happens."""
        if self._open:
            self._open = False
            self._space.watchers.remove(self._changed)
            self._bus.off_reconnect(self._synchronise)
            self._bus.off_close(self._fail)

    def _changed(self, entry: KeyValue) -> None:
        if self._bus.connected and matches(self._pattern, entry.key):
            self._bus.arrive(self._receive, entry)

    def _synchronise(self) -> None:
        """Tell what differs from what the handler knows: everything at the start, the changes of a gap later."""
        live = {entry.key: entry for entry in self._space.live() if matches(self._pattern, entry.key)}
        lost = self._generation != self._space.generation
        self._generation = self._space.generation
        for key in [key for key in self._known if key not in live]:
            self._bus.arrive(self._receive, KeyValue(key, None, self._known[key]))
        for entry in live.values():
            if lost or self._known.get(entry.key) != entry.revision:
                self._bus.arrive(self._receive, entry)
        self._bus.arrive(self._caught_up, None)

    def _receive(self, entry: KeyValue) -> None:
        if not self._open:
            return
        if entry.value is not None:
            self._known[entry.key] = entry.revision
        elif self._known.pop(entry.key, None) is None:
            return
        call_handler(self._handler, entry, f"a watch on {self._space.spec.name}")

    def _fail(self) -> None:
        """The connection is closed for good: who waits for what is there need not."""
        if not self._current.done():
            self._current.set_exception(
                Unavailable(f"the connection was closed while {self._space.spec.name} was read")
            )
            self._current.exception()

    def _caught_up(self, _: None) -> None:
        if not self._current.done():
            self._current.set_result(None)
