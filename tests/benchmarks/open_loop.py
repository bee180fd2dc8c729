"""Calls that come at a rate, whatever becomes of those before them: what callers do who know nothing of each other."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from mesh.protocols.errors import MeshError

TICK = 0.002


class Came(Counter[str]):
    """How the calls ended, by `done` or the code of their error; `times` are the seconds of those that were done, `meanwhile` is
    how many of them were while others still came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []
        self.meanwhile = 0


async def come(rate: float, seconds: float, call: Callable[[], Awaitable[object]]) -> Came:
    """Begin `rate` calls a second for so long, then wait until all of them have ended."""
    came, calls = Came(), list[asyncio.Task[None]]()
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        for _ in range(int(passed * rate) - len(calls)):
            calls.append(asyncio.create_task(_one(call, came)))
        await asyncio.sleep(TICK)
    came.meanwhile = came["done"]
    await asyncio.gather(*calls)
    return came


async def _one(call: Callable[[], Awaitable[object]], came: Came) -> None:
    started = time.perf_counter()
    try:
        await call()
    except MeshError as error:
        came[error.code] += 1
    else:
        came["done"] += 1
        came.times.append(time.perf_counter() - started)
