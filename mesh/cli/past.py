"""What was stored, up to now: a stream that is read until it falls silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")
FIRST, QUIET = 3.0, 0.5
"""When nothing came for so many seconds, there is no more; the first is waited for longer, for a server may be busy or far away."""


async def until_quiet(found: AsyncIterator[T]) -> AsyncIterator[T]:
    """What comes, until nothing does any more."""
    patience = FIRST
    while True:
        try:
            async with asyncio.timeout(patience):
                each = await anext(found)
        except (TimeoutError, StopAsyncIteration):
            return
        patience = QUIET
        yield each
