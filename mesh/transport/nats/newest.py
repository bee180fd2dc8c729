"""The newest message of each of many subjects: by direct get, and by a feed where they are too many for one request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from mesh.protocols.errors import TimedOut
from mesh.protocols.ports import Stored
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.direct import TooMany, last_of_each
from mesh.transport.nats.feed import Feed

WITHIN = 30.0


async def newest_of_each(bus: NatsBus, stream: str, subjects: str) -> list[Stored]:
    """The newest message of every matching subject, in order of sequence."""
    try:
        return await last_of_each(bus, stream, subjects)
    except TooMany:
        return await _by_feed(bus, stream, subjects)


class _Snapshot:
    """Collects what was there when the feed was opened."""

    def __init__(self) -> None:
        self.newest: dict[str, Stored] = {}
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> dict[str, Any]:
        """With the newest message of each subject."""
        self.newest.clear()
        return {"deliver_policy": "last_per_subject"}

    async def opened(self, pending: int) -> None:
        """Nothing there, nothing to wait for."""
        if not pending:
            self.idle()

    def receive(self, stored: Stored, pending: int) -> None:
        """One of them."""
        self.newest[stored.subject] = stored
        if not pending:
            self.idle()

    def idle(self) -> None:
        """That was all."""
        if not self.complete.done():
            self.complete.set_result(None)

    def flow(self, answer: Callable[[], None]) -> None:
        """It is dealt with already."""
        answer()


async def _by_feed(bus: NatsBus, stream: str, subjects: str) -> list[Stored]:
    snapshot = _Snapshot()
    feed = Feed(bus, stream, (subjects,), snapshot)
    await feed.open()
    try:
        async with asyncio.timeout(WITHIN):
            await snapshot.complete
    except TimeoutError:
        raise TimedOut(f"reading the newest messages of {stream} took longer than {WITHIN:g} s") from None
    finally:
        await feed.close()
    return sorted(snapshot.newest.values(), key=lambda stored: stored.sequence)
