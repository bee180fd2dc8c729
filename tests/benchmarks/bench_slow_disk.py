"""Steps a second with 64 jobs in flight, on a server whose every fsync takes 2 ms longer (strace makes it so).

A journal entry counts when it is fsynced, and a stream syncs one message after the other: on such a disk one stream takes
some 400 messages a second, whoever sends them. Journals are spread over sixteen. The jobs have local steps only, one process
hosts them, and their submission and end are in the time, too. For information: the same on the disk that is there, and
guarded appends to one stream on the slow one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import mesh
from mesh.client.mesh import Mesh
from mesh.jobs.authoring.workflow import Job
from mesh.protocols.ports import StreamSpec
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.other import Other
from tests.benchmarks.rounds import AT_ONCE, at_once
from tests.benchmarks.rows import Row, Skipped, Target
from tests.benchmarks.series import Sample, Series
from tests.benchmarks.slow_disk import slow_fsync

FSYNC = 0.002
STEPS = 25
WITHIN = 120.0
FELT_WITHIN = 5.0
SLOW = Target(
    name=f"steps, {AT_ONCE} jobs in flight, fsync of 2 ms", floor=2000, aim=10_000, better="higher", unit="/s"
)
FAST = Target(name=f"steps, {AT_ONCE} jobs in flight, the disk as it is", better="higher", unit="/s")
ONE = Target(name=f"appends to one stream, {AT_ONCE} in flight, fsync of 2 ms", better="higher", unit="/s")


async def work(number: int) -> int:
    """The work of a step."""
    return number


@mesh.workflow("long")
async def long(job: Job, steps: int) -> None:
    """So many steps, one after the other."""
    for number in range(steps):
        await job.step(str(number), work, number)


async def main(url: str) -> AsyncIterator[str]:
    """The process that hosts them."""
    async with Mesh.connect(url, name="hosts") as here:
        await here.host_workflow(long)
        yield ""


async def bench(ground: Ground) -> list[Row]:
    """The disk as it is, then slow."""
    host, jobs = await ground.other("bench_slow_disk"), ground.pick(1, 8)
    async with Mesh.connect(ground.url, name="submits") as here:
        await there(lambda: here.directory.lookup("workflow.long"))
        await here.peer.store.ensure_stream(StreamSpec(name="one", subjects=("one.*",)))
        rounds = ground.pick(1, 3)
        fast = await ground.take_turns(rounds, steps=lambda: wave(ground, here, host, jobs))
        async with slow_fsync(ground.server_pid, FSYNC):
            await _check_delay(here)
            slow = await ground.take_turns(
                rounds,
                steps=lambda: wave(ground, here, host, jobs),
                one=lambda: appends(ground, here, ground.pick(2, 6)),
            )
    return [row(SLOW, slow["steps"]), row(FAST, fast["steps"]), row(ONE, slow["one"])]


async def wave(ground: Ground, here: Mesh, host: Other, jobs: int) -> Sample:
    """Steps a second of as many jobs as are in flight, each followed by the next, from the first submission to the last result.

    One job each would measure the stream that happens to get most of them, while the others have nothing left to do."""
    meter, started = ground.meter(host), time.perf_counter()

    async def one_after_another() -> None:
        for _ in range(jobs):
            await (await here.submit("long", STEPS)).result(WITHIN)

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    count = AT_ONCE * jobs * STEPS
    return meter.sample(count / (time.perf_counter() - started), count)


async def appends(ground: Ground, here: Mesh, turns: int) -> Sample:
    """What one stream takes."""
    return await at_once(ground, (), lambda: here.peer.store.append("one.all", b"x" * 400, timeout=30.0), turns)


async def _check_delay(here: Mesh) -> None:
    """Wait until it is felt: strace takes hold of the server's threads one by one."""
    until = time.perf_counter() + FELT_WITHIN
    while time.perf_counter() < until:
        started = time.perf_counter()
        await here.peer.store.append("one.all", b"x")
        if time.perf_counter() - started >= FSYNC:
            return
        await asyncio.sleep(0.01)
    raise Skipped("strace does not delay this server's fsync")


def row(target: Target, series: Series) -> Row:
    """Operations a second: the median, the least and the most."""
    figures = [sample.figure for sample in series.samples]
    return Row(
        target=target, figure=series.median, least=min(figures), most=max(figures), rounds=len(figures),
        about=f"processor µs each: {series.processor()}",
    )  # fmt: skip
