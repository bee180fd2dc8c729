"""A process of the mesh in a thread of this one: it serves while a test, or a command, has a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from mesh import Mesh

READY_WITHIN = 60.0


@contextmanager
def hosting(url: str, host: Callable[[Mesh], Awaitable[object]]) -> Iterator[None]:
    """A process called `worker` on the server at `url`, with everything that `host` has put on it, until the block ends.

    Raises what `host` raises.
    """
    ready, failed = threading.Event(), list[BaseException]()
    loops: list[asyncio.AbstractEventLoop] = []
    over = asyncio.Event()

    async def serve() -> None:
        async with Mesh.connect(url, process="worker") as mesh:
            await host(mesh)
            loops.append(asyncio.get_running_loop())
            ready.set()
            await over.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - raised below, where somebody waits
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(READY_WITHIN), "it does not get ready"
    try:
        if not failed:
            yield
    finally:
        if loops:
            loops[0].call_soon_threadsafe(over.set)
        thread.join(READY_WITHIN)
    if failed:
        raise failed[0]
