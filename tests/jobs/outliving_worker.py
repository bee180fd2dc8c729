"""A process for `test_work_outlives_its_owner`: `outliving_worker.py URL PROCESS FOLDER`. `agent-…` hosts agents, others workflows.

Each run of a handler is asked of the ledger under `<order> begun`, and under `<order> ended` once the file `finish` is there.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from mesh import Job, Mesh, agent, workflow
from mesh.protocols.errors import Refused
from mesh.testing.virtual_time import until
from tests.effect_target import EffectTarget

FOLDER = Path(sys.argv[3])
LEDGER = EffectTarget(FOLDER / "ledger", honours_keys=False)


async def work_on(order: str) -> str:
    LEDGER.ask(f"{order} begun")
    await until((FOLDER / "finish").exists, timeout=60)
    LEDGER.ask(f"{order} ended")
    return f"{order} done"


@agent(capability="do.carefully", effect="at_most_once", timeout=60, capacity=4)
async def careful(order: str) -> str:
    return await work_on(order)


@agent(capability="do.again", effect="idempotent", timeout=60, capacity=4)
async def easy(order: str) -> str:
    return await work_on(order)


@agent(capability="do.refuse", timeout=60)
async def picky(order: str) -> str:
    await work_on(order)
    raise Refused(f"{order} is not done here")


@workflow("all")
async def everything(job: Job) -> list[Any]:
    return await job.gather(
        job.call("do.carefully", "careful", key="careful"),
        job.call("do.again", "easy", key="easy"),
        job.call("do.refuse", "refused", key="refused"),
        need=2,
    )


async def main() -> None:
    async with Mesh.connect(sys.argv[1], process=sys.argv[2]) as mesh:
        if sys.argv[2].startswith("agent"):
            for each in (careful, easy, picky):
                await mesh.host(each)
        else:
            await mesh.host_workflow(everything)
        (FOLDER / f"{sys.argv[2]}.ready").touch()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
