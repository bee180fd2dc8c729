"""A long job that only waits is let go of; an answer brings it back. How long until its workflow goes on, 10,000 events later?

That is: the answer is heard and journaled, the job claimed, its state read (the last snapshot, an object, and what came after it), and
its workflow run again past every step that it had taken. Beside it, for information, the same without snapshots. In quick rounds
the journal has a fifth of that.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

import mesh
from mesh.client.mesh import Mesh
from mesh.jobs.authoring.workflow import Job
from mesh.jobs.journals.journals import Journals
from mesh.jobs.outside.handle import JobHandle
from mesh.protocols.job_events import Snapshot
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.job_state import fold
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.rows import Row, Target

RESUMED = Target(name="a job of 10,000 events, let go of: from an answer to its next step", floor=200.0, unit="ms")
READ = Target(name="reading its state: from the last snapshot", unit="ms")
WHOLE = Target(name="reading its state: every entry", unit="ms")
AT_ONCE = 20
WITHIN = 300.0

went_on: list[float] = []


async def note(number: int) -> dict[str, Any]:
    """The work of a step: a result as agents give them."""
    return {"number": number, "findings": ["a finding of some length, with a few words in it"] * 3}


async def told() -> None:
    """The step after the answer."""
    went_on.append(time.perf_counter())


@mesh.workflow("long")
async def long(job: Job, steps: int, rounds: int) -> int:
    """Many steps, a few at once, then some answers."""

    async def line() -> None:
        for number in range(steps // AT_ONCE):
            await job.step(f"note-{number}", note, number, effect="costly")

    await job.gather(*(job.branch(f"line-{number}", line()) for number in range(AT_ONCE)))
    for number in range(rounds):
        await job.wait(f"go-{number}")
        await job.step(f"told-{number}", told, effect="pure")
    return steps


async def bench(ground: Ground) -> list[Row]:
    """One job, brought back several times."""
    steps, rounds = ground.pick(1000, 5000), ground.pick(5, 15)
    async with Mesh.connect(ground.url, name="resume") as here:
        await here.host_workflow(long)
        job = await here.submit("long", {"steps": steps, "rounds": rounds})
        times = [await _brought_back(here, job, number) for number in range(rounds)]
        await job.result(60)
        read, whole, taken = await _read(here, job)
    times.sort()
    about = f"{2 * steps:,} events, {taken} snapshots; of {rounds} times the longest {times[-1]:.0f} ms"
    return [
        Row(target=RESUMED, figure=median(times), least=times[0], most=times[-1], rounds=rounds, about=about),
        Row(target=READ, figure=read),
        Row(target=WHOLE, figure=whole),
    ]


async def _brought_back(here: Mesh, job: JobHandle, number: int) -> float:
    """Milliseconds from the answer to the step after it, once the job was let go of."""
    async with asyncio.timeout(WITHIN):
        while (status := await _status(here, job)) != "waiting":
            if status in TERMINAL:
                await job.result(1)
            await asyncio.sleep(0.1)
    began = time.perf_counter()
    await job.signal(f"go-{number}", by="bench")
    await there(lambda: len(went_on) > number, timeout=30)
    return (went_on[number] - began) * 1e3


async def _status(here: Mesh, job: JobHandle) -> str:
    last = await Journals(here.peer.store, here.peer.subjects).last(job.tenant, job.id)
    return last.entry.head.state if last else ""


async def _read(here: Mesh, job: JobHandle) -> tuple[float, float, int]:
    journals = Journals(here.peer.store, here.peer.subjects)
    began = time.perf_counter()
    state = await journals.state(job.tenant, job.id)
    middle = time.perf_counter()
    records = await journals.read(job.tenant, job.id)
    whole = fold(records)
    end = time.perf_counter()
    assert whole == state
    taken = sum(isinstance(each.entry.events[-1], Snapshot) for each in records)
    return (middle - began) * 1e3, (end - middle) * 1e3, taken
