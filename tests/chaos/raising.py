"""Who dies is started again, as a host does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def raised_again(
    names: Sequence[str], alive: Callable[[str], bool], launch: Callable[[str], Any]
) -> AsyncIterator[None]:
    """While this runs, whoever of `names` is not `alive` is launched."""
    keeping = asyncio.ensure_future(_keep(names, alive, launch))
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _keep(names: Sequence[str], alive: Callable[[str], bool], launch: Callable[[str], Any]) -> None:
    while True:
        for name in names:
            if not alive(name):
                launch(name)
        await asyncio.sleep(0.05)
