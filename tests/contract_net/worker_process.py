"""A worker in a process of its own: `python -m tests.contract_net.worker_process URL PROCESS EFFECT FOLDER`.

It says `ready` on stdout when it is listed. Its handler works for so many seconds; for less than none, until there is a file
`FOLDER/let`. Each run of it leaves a line in `FOLDER/begun` and, at its end, in
`FOLDER/done`: effects that outlive the process, as in the world outside.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.client.mesh import Mesh
from mesh.protocols.constraints import Effect
from mesh.testing.virtual_time import until


def worker(effect: Effect, folder: Path) -> Agent:
    class Worker(Agent):
        name = "worker"

        @command(capability="do", effect=effect, timeout=50.0)
        async def do(self, ctx: Context, seconds: float) -> str:
            note("begun", ctx.process)
            await (asyncio.sleep(seconds) if seconds >= 0 else until((folder / "let").exists, timeout=50))
            note("done", ctx.process)
            return ctx.process

    def note(what: str, process: str) -> None:
        with (folder / what).open("a") as file:
            file.write(f"{process}\n")

    return Worker()


async def main(url: str, process: str, effect: Effect, folder: str) -> None:
    async with Mesh.connect(url, process=process) as mesh:
        await mesh.host(worker(effect, Path(folder)))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))  # type: ignore[arg-type]
