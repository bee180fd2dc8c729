"""From a typed command to a running coroutine with a connection: what commands share at their edge."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from mesh.cli.options import Options
from mesh.event_loop import run as run
from mesh.protocols.errors import TimedOut

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh
    from mesh.settings.target import ServerTarget

T = TypeVar("T")


def whereabouts(options: Options) -> tuple[ServerTarget, str]:
    """The server and namespace that the options, the environment, the manifest here or the folder name.

    Raises:
        Unavailable: no server is configured; the message says what to do. BadSettings: the manifest here cannot be understood.
    """
    from mesh.host.manifest import DEFAULT_FILE, MeshTable
    from mesh.host.mesh_table import mesh_table
    from mesh.settings.finding import find_server

    all_said = (options.server or options.context) and options.namespace is not None
    table = MeshTable() if all_said else mesh_table(Path.cwd())
    target = find_server(
        options.server,
        options.context,
        manifest_url=table.server,
        manifest_context=table.context,
        manifest=DEFAULT_FILE,
    )
    return target, table.namespace if options.namespace is None else options.namespace


@asynccontextmanager
async def connected(options: Options, *, name: str = "cli") -> AsyncIterator[Mesh]:
    """A client of the mesh that `whereabouts` finds.

    Raises:
        Unavailable: no server is configured or reachable; the message says what to do.
    """
    from mesh.client.mesh import Mesh

    target, namespace = whereabouts(options)
    async with Mesh.connect(target, namespace=namespace, name=name) as mesh:
        yield mesh


@asynccontextmanager
async def tidy_on_sigterm() -> AsyncIterator[None]:
    """SIGTERM ends what is inside as Ctrl-C does, so that it takes along what it has made: servers, processes, folders. The exit
    code is 143, as of what the signal ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    task, loop, asked = asyncio.current_task(), asyncio.get_running_loop(), asyncio.Event()
    assert task is not None

    def end() -> None:
        asked.set()
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        yield
    except asyncio.CancelledError:
        if asked.is_set():
            raise typer.Exit(128 + signal.SIGTERM) from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def for_a_while(work: Awaitable[None], seconds: float | None) -> None:
    """Do what has no end of its own, for so many seconds (None: until interrupted); that they are over is no failure. To be
    called once the mesh has answered: that it does not is one."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await work
    except TimeoutError:
        if not limit.expired():
            raise


async def within(work: Awaitable[T], seconds: float | None, what: str) -> T:
    """Do what ends by itself (None: however long it takes).

    Raises:
        TimedOut: not in so many seconds; `what` is what took longer.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise TimedOut(f"{what} took longer than {seconds:g} s") from None
