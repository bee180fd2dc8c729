"""A process that hosts a worker which fails while a file is there: `ill_process.py URL FILE`. Prints `ready`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mesh import Mesh
from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command


class Worker(Agent):
    name = "worker"

    @command(capability="work.ill", effect="pure")
    def work(self) -> str:
        if Path(sys.argv[2]).exists():
            raise RuntimeError("ill")
        return "well"


async def main() -> None:
    async with Mesh.connect(sys.argv[1], process="shop") as mesh:
        await mesh.host(Worker)
        print("ready", flush=True)  # noqa: T201 - the test waits for it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
