"""One tenant that calls a hundred times as often as each of the others, and what the others feel of it: their p99.

Eight quiet tenants call an agent (four at once, twenty milliseconds each) five times a second each, by themselves and then while
a ninth calls it five hundred times a second, from a process of its own: two and a half times what the agent can do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from statistics import median, quantiles

import msgspec

import mesh
from mesh.client.mesh import Mesh
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.open_loop import come
from tests.benchmarks.rounds import ratio_row
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.series import Sample

SECONDS, PLACES = 0.02, 4
QUIET, RATE, TIMES = 8, 5.0, 100
P99 = Target(name="one tenant at 100 times the others: their p99 / their p99 without it", floor=2.0)
MEDIAN = Target(name="one tenant at 100 times the others: their median / their median without it")
LOST = Target(name="one tenant at 100 times the others: share of the others' calls that failed", floor=0.001, unit="")


@mesh.agent(capacity=PLACES)
async def counter(text: str) -> str:
    """Take some time, not the processor."""
    await asyncio.sleep(SECONDS)
    return text


async def main(url: str, side: str) -> AsyncIterator[str]:
    """The process of the agent, or that of the tenant that calls so often: for as many seconds as it is told."""
    async with Mesh.connect(url, name=side) as here:
        if side == "counters":
            await here.host(counter)
            yield ""
        await there(lambda: here.directory.instances("counter"))
        seconds = float((yield "") or 0)
        while True:
            came = await come(RATE * TIMES, seconds, calling(here, "noisy"))
            seconds = float((yield str(came["done"])) or 0)


def calling(here: Mesh, tenant: str) -> Callable[[], Awaitable[object]]:
    """One call on that tenant's account."""
    lineage = msgspec.structs.replace(here.peer.root, tenant=tenant)
    return lambda: here.peer.ask("counter", {"text": "x"}, timeout=2.0, lineage=lineage)


async def bench(ground: Ground) -> list[Row]:
    """The quiet ones alone, and beside the other."""
    await ground.other("bench_tenants", "counters")
    noise = await ground.other("bench_tenants", "noisy")
    times: dict[bool, list[float]] = {True: [], False: []}
    failed, noisy = 0, 0
    seconds = float(ground.pick(2, 5))
    async with Mesh.connect(ground.url, name="quiet") as here:
        await there(lambda: here.directory.instances("counter"))

        async def quiet(beside: bool) -> Sample:
            nonlocal failed, noisy
            flood = asyncio.create_task(noise.say(str(seconds + 0.6))) if beside else None
            await asyncio.sleep(0.3)
            calls = (come(RATE, seconds, calling(here, f"quiet-{number}")) for number in range(QUIET))
            found = await asyncio.gather(*calls)
            noisy += int(await flood) if flood is not None else 0
            failed += sum(sum(came.values()) - came["done"] for came in found)
            took = [each for came in found for each in came.times]
            times[beside] += took
            return Sample(quantiles(took, n=100)[-1])

        turns = await ground.take_turns(ground.pick(3, 9), alone=lambda: quiet(False), beside=lambda: quiet(True))
    beside, alone = median(times[True]), median(times[False])
    about = (
        f"{1e3 * turns['beside'].median:.0f} ms, without it {1e3 * turns['alone'].median:.0f} ms; it had {noisy} done"
    )
    return [
        ratio_row(P99, turns["beside"], turns["alone"], about),
        Row(target=MEDIAN, figure=beside / alone, about=f"{1e3 * beside:.1f} ms, without it {1e3 * alone:.1f} ms"),
        Row(target=LOST, figure=failed / (failed + len(times[True]) + len(times[False]))),
    ]
