"""A watch on a bucket: a feed of the newest message of each key, which remembers what its handler knows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from mesh.protocols.errors import MeshError, Unavailable
from mesh.protocols.ports import KeyValue, Stored
from mesh.transport.listeners import call_handler
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.feed import Feed
from mesh.transport.nats.inventory import counts
from mesh.transport.nats.stored import key_value
from mesh.transport.nats.streams import bucket_stream, info

log = logging.getLogger("mesh.transport")


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
        self._to_come: set[str] = set()
        self._looking = False
        self._current: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._subjects = f"$KV.{bucket}.{keys}"
        self._feed = Feed(bus, bucket_stream(bucket), (self._subjects,), self, missing=recreate)
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
        self._seen = None
        await self._feed.close()

    # -- the feed's handler

    async def start(self) -> dict[str, Any]:
        """With the newest message of each key."""
        return {"deliver_policy": "last_per_subject"}

    async def opened(self, pending: int) -> None:
        """A snapshot begins: it has every key that is there now. In a bucket that was made anew the old revisions mean nothing.

        How many the server says are to come does not tell its end: a key that is written anew is taken off that number at once,
        and counted again a moment later.
        """
        stream = bucket_stream(self._bucket)
        there, subjects = await asyncio.gather(info(self._bus, stream), counts(self._bus, stream, self._subjects))
        self._made_anew, self._created = self._made_anew or there.created != self._created, there.created
        self._seen, self._to_come = set(), set(subjects)
        if not self._to_come:
            self._finish_snapshot()

    def receive(self, stored: Stored, pending: int) -> None:
        """A key's newest value or marker."""
        entry = key_value(stored, self._prefix)
        if self._seen is not None:
            self._seen.add(entry.key)
            self._to_come.discard(stored.subject)
        self._tell(entry)
        if not self._to_come:
            self._finish_snapshot()
        elif pending == 0 and not self._looking:
            self._looking = True
            self._bus.background.start(self._look_again(self._seen), f"watch of {self._bucket}")

    async def _look_again(self, snapshot: set[str] | None) -> None:
        """What vanished without a trace meanwhile does not come any more; the marker of a key that is gone does so."""
        try:
            there = await counts(self._bus, bucket_stream(self._bucket), self._subjects)
        except MeshError as error:
            log.info("what is in %s could not be looked up; it is when the next key comes: %s", self._bucket, error)
            return
        finally:
            self._looking = False
        if self._seen is snapshot:
            self._to_come &= there.keys()
            if not self._to_come:
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
        self._to_come.clear()
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
