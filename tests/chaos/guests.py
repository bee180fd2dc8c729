"""`Inn`: an agent whose process takes in guests: places in the mesh of their own, each with its lease, its records and its directory."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from mesh import Agent, agent, command
from tests.faults.expectations import joined

AT_ONCE = 10
"""Guests of one inn that come or go in the same moment: every directory hears of each, and those of all inns share two processors."""


class Inn(Agent):
    """Guests are named `<process>-<number>` and host the agent `guest`."""

    name = "inn"
    capacity = 4

    def __init__(self, url: str, process: str) -> None:
        self._url = url
        self._process = process
        self._guests: dict[str, AsyncExitStack] = {}
        self._taken = 0
        self._door = asyncio.Semaphore(AT_ONCE)

    @command(timeout=120)
    async def come(self, count: int) -> list[str]:
        """So many come, some at once; their names."""
        names = [f"{self._process}-{self._taken + number}" for number in range(count)]
        self._taken += count
        await asyncio.gather(*(self._take_in(each) for each in names))
        return names

    @command(timeout=120)
    async def go(self, names: list[str]) -> None:
        """These leave, some at once."""
        await asyncio.gather(*(self._see_off(self._guests.pop(each)) for each in names if each in self._guests))

    async def _see_off(self, guest: AsyncExitStack) -> None:
        async with self._door:
            await guest.aclose()

    async def _take_in(self, name: str) -> None:
        async with self._door:
            await self._welcome(name)

    async def _welcome(self, name: str) -> None:
        stack = AsyncExitStack()
        mesh = await stack.enter_async_context(joined(self._url, name))

        @agent(name="guest")
        async def guest() -> str:
            return name

        await mesh.host(guest)
        self._guests[name] = stack
