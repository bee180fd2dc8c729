"""A directory for a command that only looks: no process of its own, no lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.cli.options import Options
from mesh.cli.running import whereabouts
from mesh.clock import SystemClock, SystemIds
from mesh.protocols.subjects import Subjects
from mesh.registry.directory import Directory
from mesh.registry.listing import Change

CLOCK = SystemClock()
ANSWER_WITHIN = 0.5
"""Seconds for which a listing waits for processes to answer."""


@asynccontextmanager
async def opened(
    options: Options, changes: asyncio.Queue[Change] | None = None, *, ask: bool = False
) -> AsyncIterator[Directory]:
    """A directory of the mesh that `whereabouts` finds, and nothing else.

    Raises:
        Unavailable: no server is configured or reachable; the message says what to do.
    """
    from mesh.transport.connection import connect

    target, namespace = whereabouts(options)
    ids = SystemIds(CLOCK)
    subjects = Subjects(namespace)
    async with await connect(target, name="mesh registry", timeout=options.timeout or 5.0) as connection:
        directory = Directory(connection.bus, connection.store, CLOCK, ids, subjects)
        if changes is not None:
            directory.on_change(changes.put_nowait)
        try:
            await directory.start(ask=ask)
            yield directory
        finally:
            await directory.stop()
