"""Everything that is in a stream right now, collected from a feed: for more than a few pages of direct gets."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from mesh.protocols.errors import TimedOut, Unavailable
from mesh.protocols.ports import Stored
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.feed import Feed

WITHIN = 30.0


class Collection(ABC):
    """What has come so far. A subclass says where a feed of it starts, and keeps what comes."""

    def __init__(self) -> None:
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @abstractmethod
    async def start(self) -> dict[str, Any]:
        """Where a (new) feed begins."""

    @abstractmethod
    def keep(self, stored: Stored) -> None:
        """One of them."""

    async def opened(self, pending: int) -> None:
        """Nothing there, nothing to wait for."""
        if not pending:
            self.idle()

    def receive(self, stored: Stored, pending: int) -> None:
        """One of them, and how many stood behind it."""
        self.keep(stored)
        if not pending:
            self.idle()

    def idle(self) -> None:
        """That was all."""
        if not self.complete.done():
            self.complete.set_result(None)

    def interrupt(self) -> None:
        """The connection is closed: the rest will not come."""
        if not self.complete.done():
            self.complete.set_exception(Unavailable("the connection was closed before everything was read"))

    def flow(self, answer: Callable[[], None]) -> None:
        """It is dealt with already."""
        answer()


class Newest(Collection):
    """The newest message of each subject; a feed that begins again brings them all again."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Stored] = {}

    async def start(self) -> dict[str, Any]:
        """With the newest message of each subject."""
        self.found.clear()
        return {"deliver_policy": "last_per_subject"}

    def keep(self, stored: Stored) -> None:
        """The newest so far."""
        self.found[stored.subject] = stored


class Following(Collection):
    """Every message above a sequence; a feed that begins again goes on behind the last one."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.found: list[Stored] = []
        self._after = after

    async def start(self) -> dict[str, Any]:
        """Behind what has come."""
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": self._after + 1}

    def keep(self, stored: Stored) -> None:
        """The next one."""
        self._after = stored.sequence
        self.found.append(stored)


C = TypeVar("C", bound=Collection)


async def collected(bus: NatsBus, stream: str, subjects: str, collection: C) -> C:
    """The collection, complete.

    Raises:
        TimedOut: that took too long.
        Unavailable: the connection was closed for good meanwhile.
    """
    feed = Feed(bus, stream, (subjects,), collection)
    await feed.open()
    bus.on_close(collection.interrupt)
    try:
        async with asyncio.timeout(WITHIN):
            await collection.complete
    except TimeoutError:
        raise TimedOut(f"reading {subjects} of {stream} took longer than {WITHIN:g} s") from None
    finally:
        bus.off_close(collection.interrupt)
        await feed.close()
    return collection
