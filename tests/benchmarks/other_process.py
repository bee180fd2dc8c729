"""The other side of a bench, in a process of its own: `python -m tests.benchmarks.other_process MODULE URL ARGUMENTS…`.

The module's `main(url, *arguments)` is an async generator: what it yields first means that it is ready; after that it gets
each line that the bench says and yields its answer. It is closed when the bench closes its stdin or dies.
"""

from __future__ import annotations

import asyncio
import importlib
import sys

import uvloop


async def _serve(module: str, url: str, *arguments: str) -> None:
    conversation = importlib.import_module(module).main(url, *arguments)
    await anext(conversation)
    print("ready", flush=True)  # noqa: T201
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    try:
        while line := await lines.readline():
            print(await conversation.asend(line.decode().rstrip("\n")) or "", flush=True)  # noqa: T201
    finally:
        await conversation.aclose()


if __name__ == "__main__":
    uvloop.run(_serve(*sys.argv[1:]))
