"""Reading what a stream has: few messages by direct gets, many by a feed, which the server fills faster than pages."""

from __future__ import annotations

from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import Stored
from mesh.transport.nats.bus import NatsBus
from mesh.transport.nats.collect import WITHIN, Following, Newest, collected
from mesh.transport.nats.direct import PAGE, TooMany, last_of_each, page_from
from mesh.transport.nats.inventory import counts

AGAIN = 0.25
"""Seconds until a replica that lacks something is asked again."""


async def read_from(bus: NatsBus, stream: str, subject: str, after: int) -> list[Stored]:
    """Every message on `subject` above `after`, in order."""
    found: list[Stored] = []
    while True:
        page = await page_from(bus, stream, subject, after)
        found += page.messages
        if not page.pending or not page.messages:
            return found
        after = found[-1].sequence
        if page.pending > PAGE:
            return found + (await collected(bus, stream, subject, Following(after))).found


async def newest_of_each(bus: NatsBus, stream: str, subjects: str, after: int = 0) -> list[Stored]:
    """The newest message of every matching subject, where it is above `after`, in order of sequence."""
    try:
        return await last_of_each(bus, stream, subjects, after)
    except TooMany:
        if after:
            since = await read_from(bus, stream, subjects, after)
            return sorted({each.subject: each for each in since}.values(), key=lambda stored: stored.sequence)
        newest = await _as_the_leader_has_it(bus, stream, subjects)
    return sorted(newest.found.values(), key=lambda stored: stored.sequence)


async def _as_the_leader_has_it(bus: NatsBus, stream: str, subjects: str) -> Newest:
    """The consumer of a feed may be on a replica that for some seconds after a restore lists nothing, or less than there is.

    Raises:
        Unavailable: it still does.
    """
    ends = bus.clock.monotonic() + WITHIN
    while True:
        there = (await counts(bus, stream, subjects)).keys()
        newest = await collected(bus, stream, subjects, Newest())
        missing = there - newest.found.keys()
        if not missing or not missing & (await counts(bus, stream, subjects)).keys():
            return newest
        if bus.clock.monotonic() > ends:
            raise Unavailable(f"a replica of {stream} lacks {len(missing)} of {len(there)} subjects: try again")
        await bus.clock.sleep(AGAIN)
