"""A process for `test_work_outlives_its_owner`: `outliving_worker.py URL PROCESS FOLDER`. `agent-…` hosts agents, others workflows.

Each run of a handler is asked of the ledger under `<order> begun`, and under `<order> ended` once the file `finish` is there.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mesh import Job, Mesh, agent, workflow
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


@workflow("both")
async def both(job: Job) -> list[str]:
    return await job.gather(
        job.call("do.carefully", "careful", key="careful"), job.call("do.again", "easy", key="easy"), need=2
    )


async def main() -> None:
    async with Mesh.connect(sys.argv[1], process=sys.argv[2]) as mesh:
        if sys.argv[2].startswith("agent"):
            await mesh.host(careful)
            await mesh.host(easy)
        else:
            await mesh.host_workflow(both)
        (FOLDER / f"{sys.argv[2]}.ready").touch()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
