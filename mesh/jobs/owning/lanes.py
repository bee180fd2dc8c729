"""`Lanes`: what certain tenants have in the ingress, each tenant's messages read by themselves, out of the line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable

from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Stored

logger = logging.getLogger("mesh.jobs")

MOST_LANES = 64
"""Tenants whose messages are read out of turn at once; each takes a consumer at the server."""


class Lane:
    """One tenant's messages, in their order, as they come. What was read and is not wanted yet stays the next one."""

    def __init__(self, messages: AsyncIterator[Stored]) -> None:
        self._messages = messages
        self._next: asyncio.Task[Stored] | None = None

    @property
    def coming(self) -> asyncio.Task[Stored]:
        """The next message, perhaps still on its way; the same until `take`."""
        if self._next is None:
            self._next = asyncio.ensure_future(_first(self._messages))
        return self._next

    async def take(self, within: float) -> Stored:
        """The next message.

        Raises:
            TimeoutError: it has not come; it may still.
            MeshError: it cannot be read.
        """
        async with asyncio.timeout(within):
            stored = await asyncio.shield(self.coming)
        self._next = None
        return stored

    async def close(self) -> None:
        """Read nothing more."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        try:
            await self._messages.aclose()  # type: ignore[attr-defined]
        except MeshError as error:
            logger.debug("the server closes a lane by itself: %s", error)


class Lanes:
    """Those that are open, by tenant: at most `MOST_LANES`, or as many as are asked for at once."""

    def __init__(self, opening: Callable[[str, int], AsyncIterator[Stored]]) -> None:
        self._opening = opening
        self._open: dict[str, Lane] = {}

    async def of(self, tenant: str, after: int, *, anew: bool) -> Lane:
        """Where the tenant's next message is read: the lane that is open, or one that begins `after` this sequence."""
        lane = self._open.pop(tenant, None)
        if lane is not None and anew:
            await lane.close()
            lane = None
        self._open[tenant] = lane = lane or Lane(self._opening(tenant, after))  # those used last stand last
        return lane

    async def make_room(self, chosen: Collection[str]) -> None:
        """Close the lanes that were used longest ago, where there would be too many with those chosen."""
        surplus = len({*self._open, *chosen}) - MOST_LANES
        idle = [each for each in self._open if each not in chosen]
        await self.close(idle[: max(0, surplus)])

    async def arrivals(self, tenants: Iterable[str], within: float) -> list[str]:
        """Those of the tenants who have a message in their lane: at once if anybody has, or as soon as one comes."""
        coming = {tenant: self._open[tenant].coming for tenant in tenants if tenant in self._open}
        if not coming:
            await asyncio.sleep(within)
            return []
        await asyncio.wait(coming.values(), timeout=within, return_when=asyncio.FIRST_COMPLETED)
        return [tenant for tenant, each in coming.items() if each.done()]

    async def close(self, tenants: Iterable[str] | None = None) -> None:
        """These lanes, or all. Again: nothing happens."""
        for tenant in list(self._open if tenants is None else tenants):
            lane = self._open.pop(tenant, None)
            if lane is not None:
                await lane.close()


async def _first(messages: AsyncIterator[Stored]) -> Stored:
    return await anext(messages)
