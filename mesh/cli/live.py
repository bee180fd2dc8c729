"""What comes by itself, one at a time: a callback's calls as an iterator that never makes the caller of the callback wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")
MOST = 10_000


class Live(Generic[T]):
    """Put in from a callback, taken out by iterating. `missed` counts what came while `MOST` were waiting."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[T] = asyncio.Queue(MOST)
        self.missed = 0

    def put(self, item: T) -> None:
        """One more."""
        try:
            self._waiting.put_nowait(item)
        except asyncio.QueueFull:
            self.missed += 1

    async def __aiter__(self) -> AsyncIterator[T]:
        """As they come, for ever."""
        while True:
            yield await self._waiting.get()
