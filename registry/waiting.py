"""Waiting for a signal with an end."""

from __future__ import annotations

import asyncio


async def signalled(event: asyncio.Event, timeout: float) -> bool:
    """Wait until the event is set, which clears it; False when `timeout` seconds passed first."""
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True
