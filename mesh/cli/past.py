"""What was stored, up to now: read up to the message that is the last one as the reading begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from mesh.protocols.errors import TimedOut

if TYPE_CHECKING:
    from mesh.actors.events.events import Event
    from mesh.client.mesh import Mesh
    from mesh.protocols.ports import Stored

SILENCE = 20.0
"""Seconds for which the next message is waited for where there is one: a feed that is opened anew takes a few, and a cluster that
elects a leader 4 to 6."""


async def until_now(
    mesh: Mesh, event_type: str = ">", *, agent: str = "*", tenant: str = "*", since: float = 0.0
) -> AsyncIterator[Event]:
    """Every event stored since that Unix time, up to the last one there is as this begins.

    Raises:
        TimedOut · Unavailable: not all of them could be read; those that could were handed out.
    """
    await mesh.peer.events.ensure()
    async for stored in _stored(mesh, mesh.peer.subjects.event_filter(tenant, agent, event_type), since):
        event = await mesh.peer.events.read(stored)
        if event is not None and mesh.peer.events.readable(event):
            yield event


async def _stored(mesh: Mesh, subject: str, since: float) -> AsyncIterator[Stored]:
    reached, last = 0, await _last(mesh, subject, since)
    found = mesh.peer.store.follow(mesh.peer.events.stream, subject, since=since)
    try:
        while reached < last:
            try:
                async with asyncio.timeout(SILENCE):
                    stored = await anext(found)
            except TimeoutError:
                if not await _last(mesh, subject, since, reached):  # the rest was removed meanwhile
                    return
                raise TimedOut(f"not all events were read: the next one did not come within {SILENCE:g} s") from None
            reached = stored.sequence
            yield stored
    finally:
        await found.aclose()  # type: ignore[attr-defined]


async def _last(mesh: Mesh, subject: str, since: float, after: int = 0) -> int:
    """The sequence of the newest message since then and above `after`; 0 where there is none."""
    newest = await mesh.peer.store.last_each(mesh.peer.events.stream, subject, after=after)
    return max((each.sequence for each in newest if each.time >= since), default=0)
