"""What a durable step adds, beside a raw request of nats-py in the same rounds: one job, its steps one after the other.

A local step runs a function in the job's own process and stands in the journal, fsynced, before the workflow goes on; an awarded
one is given to an agent in another process, and journaled before it leaves and after it is done. All carry 1 KiB of text,
and the times are those that the workflow itself sees. For information: a plain function instead of an asynchronous one (it
runs in a thread), and an `ask` of the same agent, which is what remains of an awarded step without the journal.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from statistics import median
from typing import Literal

import msgspec
import nats

import mesh
from mesh.client.mesh import Mesh
from mesh.jobs.authoring.workflow import Job
from tests.benchmarks.ground import PAYLOAD, Ground, there
from tests.benchmarks.other import Other
from tests.benchmarks.raw import SUBJECT
from tests.benchmarks.rounds import one_by_one, ratio_row
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.series import Sample

TEXT = "x" * PAYLOAD
WITHIN = 60.0
Kind = Literal["local", "threaded", "awarded"]

LOCAL = Target(name="local pure step: median time / raw request", floor=4.0, aim=2.5)
AWARDED = Target(name="awarded step: median time / raw request", floor=6.0)
THREADED = Target(name="local step, a plain function: median time / raw request")
ASK = Target(name="ask of the same agent: median time / raw request")


@mesh.agent(name="echo", capacity=64, capability="echo.text", effect="pure")
async def echo(text: str) -> str:
    """Give back what came."""
    return text


async def in_the_loop(text: str) -> str:
    """The work of a local step."""
    return text


def in_a_thread(text: str) -> str:
    """The same as a plain function."""
    return text


@mesh.workflow("steps")
async def steps(job: Job, kind: Kind, count: int) -> float:
    """So many steps of a kind, one after the other; the median of their seconds."""
    times = []
    for number in range(count):
        started = time.perf_counter()
        if kind == "awarded":
            await job.call("echo.text", TEXT, key=str(number), returns=str)
        else:
            await job.step(str(number), in_the_loop if kind == "local" else in_a_thread, TEXT)
        times.append(time.perf_counter() - started)
    return median(times)


async def main(url: str) -> AsyncIterator[str]:
    """The process that the agent lives in."""
    async with Mesh.connect(url, name="works") as here:
        await here.host(echo)
        yield ""


async def bench(ground: Ground) -> list[Row]:
    """Every kind of step, a raw request and an ask, in turns."""
    raw_side, mesh_side = await ground.other("raw"), await ground.other("bench_step")
    raw, payload = await nats.connect(ground.url), msgspec.json.encode(TEXT)
    count = ground.pick(60, 200)
    async with Mesh.connect(ground.url, name="drives") as here:
        await here.host_workflow(steps)
        await there(lambda: here.directory.lookup("echo.text"))

        async def request() -> None:
            await raw.request(SUBJECT, payload, timeout=10.0)

        async def ask() -> None:
            await here.ask("echo", text=TEXT, returns=str)

        found = await ground.take_turns(
            ground.pick(4, 9),
            raw=lambda: one_by_one(ground, raw_side, request, count),
            ask=lambda: one_by_one(ground, mesh_side, ask, count),
            local=lambda: one_job(ground, here, "local", count),
            threaded=lambda: one_job(ground, here, "threaded", count),
            awarded=lambda: one_job(ground, here, "awarded", count, mesh_side),
        )
    await raw.close()
    targets = {"local": LOCAL, "awarded": AWARDED, "threaded": THREADED, "ask": ASK}
    return [
        ratio_row(target, found[name], found["raw"], f"{found[name].median * 1e6:,.0f} µs, raw {_micros(found)}")
        for name, target in targets.items()
    ]


async def one_job(ground: Ground, here: Mesh, kind: Kind, count: int, *others: Other) -> Sample:
    """A job with so many steps, from its submission to its result; the figure is what it says of its steps."""
    meter = ground.meter(*others)
    job = await here.submit("steps", {"kind": kind, "count": count})
    return meter.sample(await job.result(WITHIN, returns=float), count)


def _micros(found: dict) -> str:
    return f"{found['raw'].median * 1e6:,.0f} µs"
