"""One tenant publishes a hundred times as many jobs as another, and long before it. How long does the other one wait?

Each job is one step of a quarter of a second, as an agent that asks a model takes at the least: 64 at once in one process. First
the small tenant is alone; then the ingress stream holds the flood, of which that process works off what it can, and the small
tenant hands jobs in beside it, by request and into the stream. Its times are from handing in to the end of the job.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import mesh
from mesh.client.mesh import Mesh
from mesh.jobs.authoring.workflow import Job
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.submission import Terms, headers_of, job_id_for_key
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.rows import Row, Target

STEP = 0.25
WITHIN = 300.0
EVERY = 0.2
REQUESTED = Target(name="a tenant's p99 beside one at 100x, by request, against alone", floor=2.0, unit="x")
STREAMED = Target(name="a tenant's p99 beside one at 100x, through the stream, against alone", floor=2.0, unit="x")
FIRST = Target(name="a tenant's first job behind a flood in the ingress stream", unit="s")


@mesh.workflow("quarter")
async def quarter(job: Job) -> None:
    """One step."""
    await job.step("wait", asyncio.sleep, STEP)


async def main(url: str) -> AsyncIterator[str]:
    """The process that hosts them."""
    async with Mesh.connect(url, name="hosts") as here:
        await here.host_workflow(quarter)
        yield ""


async def bench(ground: Ground) -> list[Row]:
    """Alone, then beside the flood."""
    count, flood = ground.pick(15, 100), ground.pick(2_000, 50_000)
    await ground.other("bench_job_tenants")
    async with Mesh.connect(ground.url, name="submits") as here:
        await there(lambda: here.directory.lookup("workflow.quarter"))

        async def requested(number: int) -> JobHandle:
            return await here.submit("quarter", tenant="small", key=f"r{time.perf_counter_ns()}-{number}")

        async def streamed(number: int) -> JobHandle:
            return await _published(here, "small", f"s{time.perf_counter_ns()}-{number}")

        await _times(requested, 3)
        alone = _p99(await _times(requested, count))
        alone_streamed = _p99(await _times(streamed, count))
        for first in range(0, flood, 500):
            await asyncio.gather(*(_published(here, "flood", f"f{first + n}") for n in range(500)))
        first_job = (await _times(streamed, 1))[0]
        beside = _p99(await _times(requested, count))
        beside_streamed = _p99(await _times(streamed, count))
    about = f"{flood:,} jobs of the other tenant; alone"
    return [
        Row(target=REQUESTED, figure=beside / alone, about=f"{about} {alone:.2f} s, beside {beside:.2f} s"),
        Row(
            target=STREAMED, figure=beside_streamed / alone_streamed,
            about=f"{about} {alone_streamed:.2f} s, beside {beside_streamed:.2f} s",
        ),
        Row(target=FIRST, figure=first_job, about=f"{flood:,} jobs of {STEP} s before it, 64 at once"),
    ]  # fmt: skip


async def _published(here: Mesh, tenant: str, key: str) -> JobHandle:
    peer = here.peer
    subject, headers = peer.subjects.ingress(tenant, "quarter"), headers_of(Terms(key=key))
    await peer.store.append(subject, b"null", headers=headers, timeout=WITHIN)
    return JobHandle(peer, job_id_for_key(tenant, key), tenant=tenant)


async def _times(hand_in: Callable[[int], Awaitable[JobHandle]], count: int) -> list[float]:
    """Seconds of each, handed in one after the other at an even rate."""

    async def one(number: int) -> float:
        await asyncio.sleep(number * EVERY)
        began = time.perf_counter()
        await (await hand_in(number)).result(WITHIN)
        return time.perf_counter() - began

    return list(await asyncio.gather(*(one(number) for number in range(count))))


def _p99(times: list[float]) -> float:
    return sorted(times)[min(len(times) - 1, int(0.99 * len(times)))]
