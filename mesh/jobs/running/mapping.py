"""`job.map`: one step for each of many items, a bounded number at once. Each has the item's key, so that after a crash, and when
other items come before it, it is still the same step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from mesh.jobs.authoring.branches import Branch
from mesh.protocols.errors import StepMisused

AT_ONCE = 16

Key = Callable[[Any], str]
"""What an item is called; by default its place, from 0."""


def name_of(work: str | Callable[..., Any]) -> str:
    """What a map is called where it stands: the capability's name, or the function's."""
    return work if isinstance(work, str) else getattr(work, "__name__", type(work).__name__)


def branches_of(
    items: Iterable[Any], key: Key | None, at_once: int, begin: Callable[[str, Any], Branch[Any]]
) -> list[Branch[Any]]:
    """A branch for each item, of which at most `at_once` are under way at any time.

    Raises:
        StepMisused: `at_once` is no number of steps.
    """
    if at_once < 1:
        raise StepMisused(f"job.map: at_once={at_once!r}: at least one step must be under way")
    room = asyncio.Semaphore(at_once)
    keys = ((str(place) if key is None else str(key(item)), item) for place, item in enumerate(items))
    return [_in_turn(room, begin(name, item)) for name, item in keys]


def _in_turn(room: asyncio.Semaphore, branch: Branch[Any]) -> Branch[Any]:
    async def start() -> Any:
        async with room:
            return await branch

    return Branch(start, key=branch.key, name=branch.name)
