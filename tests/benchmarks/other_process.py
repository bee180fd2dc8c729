"""The other side of a bench, in a process of its own.

The module's `main(url, *arguments)` is an async generator: what it yields first means that it is ready; after that it gets
each line that the bench says and yields its answer. It is closed when the bench ends the conversation or dies.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import socket

import uvloop


def serve(conversation: socket.socket, module: str, *arguments: str) -> None:
    """Live until the conversation ends. The first line said is the process id: ready."""
    uvloop.run(_serve(conversation, module, *arguments))


async def _serve(conversation: socket.socket, module: str, *arguments: str) -> None:
    main = importlib.import_module(module).main(*arguments)
    await anext(main)
    lines, answers = await asyncio.open_unix_connection(sock=conversation)
    answers.write(b"ready %d\n" % os.getpid())
    try:
        while line := await lines.readline():
            answers.write(f"{await main.asend(line.decode().rstrip(chr(10))) or ''}\n".encode())
    finally:
        await main.aclose()
        answers.close()
