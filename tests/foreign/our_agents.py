"""The agents and the workflow of ours that the stranger meets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from mesh import Agent, Context, Job, command, workflow

DOORS: dict[str, asyncio.Event] = {}


def door(name: str) -> asyncio.Event:
    """What `text.held` waits for."""
    return DOORS.setdefault(name, asyncio.Event())


class Clerk(Agent):
    """Does simple things."""

    version = "1.2.0"
    capacity = 4
    labels = {"floor": "first"}

    @command(capability="text.upper", effect="pure")
    async def upper(self, text: str) -> str:
        return text.upper()

    @command(capability="text.slowly")
    async def slowly(self, text: str, ctx: Context) -> str:
        ctx.progress("began")
        await asyncio.sleep(0.1)
        return text

    @command(capability="text.held", timeout=60)
    async def held(self, text: str) -> str:
        await door(text).wait()
        return text

    @command(effect="pure")
    async def count(self, until: int) -> AsyncIterator[int]:
        for number in range(until):
            yield number

    @command(capability="text.sleep", effect="pure", timeout=60)
    async def sleep(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "slept"

    @command(effect="pure")
    async def repeat(self, text: str, times: int) -> str:
        return text * times

    @command
    async def fail(self) -> None:
        raise RuntimeError("no ink")


@workflow("letter", version=3)
async def letter(job: Job, text: str) -> str:
    """A letter in capitals."""
    return str(await job.call("text.upper", {"text": text}))


@workflow("order", version=1)
async def order(job: Job, number: int) -> list[Any]:
    """Waits for a person, then for money."""
    said = await job.approval("order.confirm", {"number": number})
    return [said.by, await job.wait("paid")]
