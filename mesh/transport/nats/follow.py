"""`Store.follow`: a feed handed out message by message; who reads slowly slows the server down."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from mesh.protocols.ports import Stored
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.feed import Feed
from mesh.transport.nats.stored import rfc3339
from mesh.transport.nats.streams import info

MOMENT = 1e-6
"""Seconds between a message and what is later: times are told to the microsecond."""


class Follower:
    """What has come and was not handed out yet. Permissions to send more stand in the queue, behind what they wait for."""

    def __init__(self, bus: NatsBus, stream: str, after: int | None, since: float | None) -> None:
        self._bus = bus
        self._stream = stream
        self._after = after
        self._since = since
        self._until = bus.clock.now()
        self._created = ""
        self._queue: deque[Stored | Callable[[], None]] = deque()
        self.news = asyncio.Event()

    async def start(self) -> dict[str, Any]:
        """At the place asked for, and behind the last message once there was one. What is new is what stands behind all that is
        there now: a consumer of what is new by its own words would begin anew with every other one.

        In a stream that was made anew, or put back, sequences mean something else: there it goes on with what is later.
        """
        there = await info(self._bus, self._stream)
        if self._created not in ("", there.created) and self._since is None:
            self._since = self._until
        if self._after is None:
            self._after = there.state.last_seq
        self._created = there.created
        if self._since is not None:
            return {"deliver_policy": "by_start_time", "opt_start_time": rfc3339(self._since)}
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": (self._after or 0) + 1}

    async def opened(self, pending: int) -> None:
        """Nothing to do: the messages themselves say how far we are."""

    def receive(self, stored: Stored, pending: int) -> None:
        """Queue it."""
        self._after, self._since, self._until = stored.sequence, None, stored.time + MOMENT
        self._queue.append(stored)
        self.news.set()

    def idle(self) -> None:
        """Nothing to do."""

    def flow(self, answer: Callable[[], None]) -> None:
        """More may come once everything before this place is handed out."""
        self._queue.append(answer)
        self.news.set()

    def take(self) -> Stored | None:
        """The next message, if there is one."""
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, Stored):
                return item
            item()
        return None


async def follow(
    bus: NatsBus, stream: str, subject: str, after: int | None, since: float | None
) -> AsyncIterator[Stored]:
    """Hand out the feed.

    Raises:
        MissingStream · NoResponders · TimedOut: it could not be started.
        Unavailable: the connection was closed meanwhile.
    """
    follower = Follower(bus, stream, after, since)
    feed = Feed(bus, stream, (subject,), follower)
    await feed.open()
    bus.on_close(follower.news.set)
    try:
        while True:
            follower.news.clear()
            while (stored := follower.take()) is not None:
                yield stored
            bus.check_open()
            await follower.news.wait()
    finally:
        bus.off_close(follower.news.set)
        await feed.close()
