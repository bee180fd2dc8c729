"""A process that hosts workflows and the agent they call, to be killed by tests: `job_worker.py URL PROCESS FOLDER`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mesh import Job, Mesh, agent, workflow
from mesh.testing.virtual_time import until

FOLDER = Path(sys.argv[3])


def mark(what: str) -> str:
    """A line in a file: the effect that the test counts."""
    with (FOLDER / "effects").open("a") as file:
        file.write(f"{what} {sys.argv[2]}\n")
    return what


async def until_told(name: str) -> str:
    await until((FOLDER / name).exists, timeout=60)
    return mark(name)


@agent(capability="mark.slowly", effect="idempotent", timeout=60)
async def slowly(name: str) -> str:
    return await until_told(name)


@workflow("walk")
async def walk(job: Job, how: str) -> list[str]:
    first = await job.step("first", mark, "first")
    second = await job.step("second", until_told, "second", effect="pure")
    third = await job.call("mark.slowly", "third", key="third") if how == "far" else "near"
    return [first, second, third]


async def main() -> None:
    async with Mesh.connect(sys.argv[1], process=sys.argv[2]) as mesh:
        if sys.argv[2].startswith("agent"):
            await mesh.host(slowly)
        else:
            await mesh.host_workflow(walk)
        (FOLDER / f"{sys.argv[2]}.ready").touch()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
