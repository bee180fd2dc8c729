"""Jobs of three local steps each, from submission to result: 64 in flight, one process that hosts them, one that submits.

Everything is on this machine, the server with `sync_interval: always` included. Each job stands in its journal before its
submitter is answered, after each step, and at its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import mesh
from mesh.client.mesh import Mesh
from mesh.jobs.authoring.workflow import Job
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.rounds import AT_ONCE, at_once
from tests.benchmarks.rows import Row, Target

STEPS = 3
WITHIN = 60.0
JOBS = Target(name=f"jobs of {STEPS} steps, {AT_ONCE} in flight", floor=400, aim=700, better="higher", unit="/s")


async def work(text: str) -> str:
    """The work of a step."""
    return text


@mesh.workflow("three")
async def three(job: Job, text: str) -> str:
    """Three steps, one after the other."""
    for number in range(STEPS):
        text = await job.step(str(number), work, text)
    return text


async def main(url: str) -> AsyncIterator[str]:
    """The process that hosts them."""
    async with Mesh.connect(url, name="hosts") as here:
        await here.host_workflow(three)
        yield ""


async def bench(ground: Ground) -> list[Row]:
    """Submit, wait for the result, and again."""
    host = await ground.other("bench_jobs")
    async with Mesh.connect(ground.url, name="submits") as here:
        await there(lambda: here.directory.lookup("workflow.three"))

        async def one() -> None:
            job = await here.submit("three", "hello")
            assert await job.result(WITHIN) == "hello"

        found = await ground.take_turns(ground.pick(2, 7), jobs=lambda: at_once(ground, host, one, ground.pick(4, 16)))
    series = found["jobs"]
    figures = [sample.figure for sample in series.samples]
    return [
        Row(
            target=JOBS, figure=series.median, least=min(figures), most=max(figures), rounds=len(figures),
            about=f"processor µs a job: {series.processor()}",
        )
    ]  # fmt: skip
