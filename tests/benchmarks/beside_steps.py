"""Somebody else's durable step and ours, both as multiples of a raw request of nats-py, in the same rounds.

For information: none of these rows has a floor. A step returns 1 KiB of text and counts once it is on the disk; all steps run in
the process that drives them. What cannot be imported is skipped.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
import nats

import mesh
from mesh.client.mesh import Mesh
from mesh.jobs.authoring.workflow import Job
from tests.benchmarks.ground import PAYLOAD, Ground
from tests.benchmarks.raw import SUBJECT
from tests.benchmarks.rounds import AT_ONCE, at_once, one_by_one, ratio_row
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.series import Sample, Series

TEXT = "x" * PAYLOAD
WITHIN = 120.0

Flow = Callable[[int], Awaitable[object]]
"""A run of so many steps, one after the other, from its start to its result."""


class Neighbour(NamedTuple):
    """What is measured beside us, and by what its steps are divided because it is slow."""

    name: str
    flow: Flow
    pace: int = 1


async def work(text: str) -> str:
    """What a step does."""
    return text


@mesh.workflow("stepping")
async def stepping(job: Job, count: int) -> int:
    """So many steps."""
    for number in range(count):
        await job.step(str(number), work, TEXT)
    return count


async def beside_steps(ground: Ground, neighbour: Neighbour) -> list[Row]:
    """Time a step with one run in flight, steps a second with 64: theirs and ours over raw requests."""
    side, payload = await ground.other("raw"), msgspec.json.encode(TEXT)
    raw = await nats.connect(ground.url)
    async with Mesh.connect(ground.url, name="drives") as here:
        await here.host_workflow(stepping)

        async def ours(count: int) -> None:
            assert await (await here.submit("stepping", count)).result(WITHIN) == count

        async def request() -> None:
            await raw.request(SUBJECT, payload, timeout=10.0)

        everyone = (neighbour, Neighbour("step", ours))
        one = await ground.take_turns(
            ground.pick(2, 5),
            raw=lambda: one_by_one(ground, side, request, ground.pick(50, 300)),
            **{each.name: _one(ground, each.flow, ground.pick(20, 100) // each.pace) for each in everyone},
        )
        many = await ground.take_turns(
            ground.pick(1, 3),
            raw=lambda: at_once(ground, side, request, ground.pick(5, 40)),
            **{each.name: _many(ground, each.flow, max(1, ground.pick(2, 8) // each.pace)) for each in everyone},
        )
    await raw.close()
    return [
        *(_latency(each.name, one[each.name], one["raw"]) for each in everyone),
        *(_throughput(each.name, many[each.name], many["raw"]) for each in everyone),
    ]


def _latency(name: str, series: Series, raw: Series) -> Row:
    target = Target(name=f"{name}, 1 run in flight: time a step / raw request")
    return ratio_row(target, series, raw, f"{series.median * 1e6:,.0f} µs, raw {raw.median * 1e6:,.0f} µs")


def _throughput(name: str, series: Series, raw: Series) -> Row:
    target = Target(name=f"{name}, {AT_ONCE} runs in flight: steps a second / raw requests", better="higher")
    return ratio_row(target, series, raw, f"{series.median:,.0f}/s, raw {raw.median:,.0f}/s")


def _one(ground: Ground, flow: Flow, count: int) -> Callable[[], Awaitable[Sample]]:
    async def sample() -> Sample:
        meter, started = ground.meter(), time.perf_counter()
        await flow(count)
        return meter.sample((time.perf_counter() - started) / count, count)

    return sample


def _many(ground: Ground, flow: Flow, count: int) -> Callable[[], Awaitable[Sample]]:
    async def sample() -> Sample:
        whole = await at_once(ground, (), lambda: flow(count), 1)
        return Sample(whole.figure * count, whole.here / count, whole.there / count, whole.server / count)

    return sample
