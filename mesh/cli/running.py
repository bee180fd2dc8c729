"""From a typed command to a running coroutine with a connection: what commands share at their edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from mesh.cli.options import Options

if TYPE_CHECKING:
    from mesh.client.mesh import Mesh

Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the coroutine on uvloop where there is one; Ctrl-C cancels it, and arrives as KeyboardInterrupt."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@asynccontextmanager
async def connected(options: Options, *, name: str = "cli") -> AsyncIterator[Mesh]:
    """A client of the mesh that the options, the environment or the folder name.

    Raises:
        Unavailable: no server is configured or reachable; the message says what to do.
    """
    from mesh.client.mesh import Mesh
    from mesh.settings import find_server

    target = find_server(server=options.server, context=options.context)
    async with Mesh.connect(target, namespace=options.namespace or "default", name=name) as mesh:
        yield mesh
