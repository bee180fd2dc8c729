"""`race`: two attempts at the same thing. The first good answer wins, and the other one is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def race(first: Coroutine[Any, Any, T], second: Callable[[], Coroutine[Any, Any, T] | None], seconds: float) -> T:
    """What `first` gives; or, if it has not after `seconds`, what either gives first. `second` may be None after all.

    Both are over when this returns, and when it is cancelled. If both fail, `first`'s error is raised.
    """
    tasks = [asyncio.create_task(first)]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds)
        if not done and (another := second()) is not None:
            tasks.append(asyncio.create_task(another))
        return (await _first_good(tasks)).result()
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first_good(tasks: list[asyncio.Task[T]]) -> asyncio.Task[T]:
    """The first that has a result; the first of them all if none has."""
    running = set(tasks)
    while running:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for each in tasks:
            if each in done and not each.cancelled() and each.exception() is None:
                return each
    return tasks[0]
