"""One process that hosts a writer: `python limited_process.py URL NAME`. Says `ready`, stays until killed."""

from __future__ import annotations

import asyncio
import sys
import time

from mesh import Agent, Mesh, command


class Writer(Agent):
    """Says when it wrote: the machine's monotonic clock is the same for all its processes."""

    capacity = 64
    mailbox = 1000

    @command(capability="text.write")
    async def write(self) -> float:
        return time.monotonic()

    @command
    async def think(self) -> None:
        await asyncio.sleep(3600)


async def main(url: str, name: str) -> None:
    async with Mesh.connect(url, process=name) as mesh:
        await mesh.host(Writer)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
