"""A process that hosts the agent `worker`: `python -m tests.actors.agent_process URL PROCESS`. Prints `ready`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.peer import Identity, Peer
from mesh.actors.running.context import Context
from mesh.clock import SystemClock, SystemIds
from mesh.settings.target import ServerTarget
from mesh.transport.connection import connect


class Worker(Agent):
    capacity = 4

    @command(capability="work.echo", effect="pure")
    async def echo(self, text: str) -> str:
        return text

    @command(timeout=30)
    async def sleep(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "slept"

    @command(timeout=60)
    async def doze(self, seconds: float, ctx: Context) -> None:
        """Says when it begins."""
        ctx.progress("begun")
        await asyncio.sleep(seconds)

    @command(timeout=30)
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number


async def main(url: str, process: str) -> None:
    clock = SystemClock()
    ids = SystemIds(clock)
    connection = await connect(ServerTarget(url=url, source="test"), name=process, clock=clock, ids=ids)
    peer = Peer(connection, identity=Identity(process=process, pid=os.getpid()), clock=clock, ids=ids)
    await peer.start()
    await peer.host(Worker)
    print("ready", flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
