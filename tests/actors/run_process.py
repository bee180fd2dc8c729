"""Two agents alone in their process, the second of which starts for a minute: `python -m tests.actors.run_process URL`."""

from __future__ import annotations

import asyncio
import sys

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.client.running import run


class Quick(Agent):
    async def on_stop(self, ctx: Context) -> None:
        print("stopped", flush=True)  # noqa: T201

    @command
    async def work(self) -> None: ...


class Slow(Agent):
    async def on_start(self, ctx: Context) -> None:
        print("starting", flush=True)  # noqa: T201
        await asyncio.sleep(60)

    @command
    async def work(self) -> None: ...


if __name__ == "__main__":
    run(Quick, Slow, server=sys.argv[1])
