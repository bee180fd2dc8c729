"""A watch on a bucket: a feed of the newest message of each key, which remembers what its handler knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import KeyValue, Stored
from mesh.transport.listeners import call_handler
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.feed import Feed
from mesh.transport.nats.stored import key_value
from mesh.transport.nats.streams import bucket_stream, info


class NatsWatch:
    """Every (re)start of the feed is a whole snapshot: what is unchanged is not told again, what is missing is told gone."""

    def __init__(
        self,
        bus: NatsBus,
        bucket: str,
        handler: Callable[[KeyValue], None],
        keys: str,
        recreate: Callable[[], Awaitable[object]],
    ) -> None:
        self._bus = bus
        self._bucket = bucket
        self._handler = handler
        self._prefix = len(f"$KV.{bucket}.")
        self._known: dict[str, int] = {}
        self._created = ""
        self._made_anew = False
        self._seen: set[str] | None = None
        self._current: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._feed = Feed(bus, bucket_stream(bucket), (f"$KV.{bucket}.{keys}",), self, missing=recreate)
        bus.on_close(self._fail)

    @property
    def current(self) -> Awaitable[None]:
        """Done when everything that was there at the start has been handed over."""
        return asyncio.shield(self._current)

    async def open(self) -> None:
        """Start it.

        Raises:
            MeshError: it could not be started, and is not running.
        """
        await self._feed.open()

    async def close(self) -> None:
        """Stop it. Again: nothing happens."""
        self._bus.off_close(self._fail)
        self._current.cancel()
        await self._feed.close()

    # -- the feed's handler

    async def start(self) -> dict[str, Any]:
        """With the newest message of each key."""
        return {"deliver_policy": "last_per_subject"}

    async def opened(self, pending: int) -> None:
        """A snapshot begins. In a bucket that was made anew the old revisions mean nothing."""
        created = (await info(self._bus, bucket_stream(self._bucket))).created
        self._made_anew, self._created = self._made_anew or created != self._created, created
        self._seen = set()
        if not pending:
            self._finish_snapshot()

    def receive(self, stored: Stored, pending: int) -> None:
        """A key's newest value or marker. Only the server knows whether more come: one that is written anew before its turn comes
        later than those that were there at the start, one written anew after it comes twice."""
        entry = key_value(stored, self._prefix)
        if self._seen is not None:
            self._seen.add(entry.key)
        self._tell(entry)
        if pending == 0:
            self._finish_snapshot()

    def idle(self) -> None:
        """Nothing more comes: the snapshot is complete even if keys vanished while it was sent."""
        self._finish_snapshot()

    def flow(self, answer: Callable[[], None]) -> None:
        """The handler has dealt with everything when it returns."""
        answer()

    def _fail(self) -> None:
        """The connection is closed for good: who waits for what is there need not."""
        if not self._current.done():
            self._current.set_exception(Unavailable(f"the connection was closed while {self._bucket} was read"))
            self._current.exception()

    def _finish_snapshot(self) -> None:
        seen, self._seen = self._seen, None
        if seen is None:
            return
        self._made_anew = False
        for key in [key for key in self._known if key not in seen]:
            self._tell(KeyValue(key, None, self._known[key]))
        if not self._current.done():
            self._current.set_result(None)

    def _tell(self, entry: KeyValue) -> None:
        if entry.value is None:
            if self._known.pop(entry.key, None) is None:
                return
        elif self._known.get(entry.key) == entry.revision and not self._made_anew:
            return
        else:
            self._known[entry.key] = entry.revision
        call_handler(self._handler, entry, f"a watch on {self._bucket}")


async def open_watch(watch: NatsWatch) -> NatsWatch:
    """Start a watch, and hand it out only if it runs."""
    try:
        await watch.open()
    except BaseException:
        await watch.close()
        raise
    return watch
