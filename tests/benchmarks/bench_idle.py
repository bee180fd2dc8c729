"""What idle actors cost: memory over the empty process, the time to start and register them, and what they say when idle.

An empty process is one that has joined the mesh and hosts nothing. Memory is resident memory after a collection.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

import mesh
from mesh.client.mesh import Mesh
from tests.benchmarks.ground import Ground
from tests.benchmarks.processor import processor_seconds
from tests.benchmarks.rows import Row, Target

MANY, MOST = 10_000, 100_000
TOGETHER = 500
SETTLED, WATCHED = 14.0, 10.0
MEMORY = Target(name="10,000 idle actors: memory over the empty process", floor=20, aim=5, unit="MB")
TIME = Target(name="10,000 actors started and registered", floor=0.5, unit="s")
MEMORY_OF_MOST = Target(name="100,000 idle actors: memory over the empty process", floor=200, unit="MB")
TIME_OF_MOST = Target(name="100,000 actors started and registered", unit="s")
SHARE = Target(name="10,000 idle actors: share of a processor", unit="%")


class Hosted(msgspec.Struct, frozen=True):
    """What it took: seconds, bytes over the empty process, and processor seconds an actor, there and in the server."""

    seconds: float
    size: int
    processor: float = 0.0
    server: float = 0.0


@mesh.agent(capability="idle")
async def idler(text: str) -> str:
    """Somebody who is never asked."""
    return text


async def main(url: str) -> AsyncIterator[str]:
    """A process that hosts as many actors as it is told.

    It was forked: what it has from the bench is left out of its collections, which would copy all of it.
    """
    gc.freeze()
    async with Mesh.connect(url, name="idlers") as here:
        count = int((yield "") or 0)
        yield msgspec.json.encode(await hosted(here, count)).decode()


async def hosted(here: Mesh, count: int) -> Hosted:
    """Host so many, a few hundred at once."""
    await here.peer.registration.begin()
    gc.collect()
    before, started = resident(), time.perf_counter()
    for first in range(0, count, TOGETHER):
        names = range(first, min(first + TOGETHER, count))
        await asyncio.gather(*(here.host(idler, instance=f"i{number}") for number in names))
    seconds = time.perf_counter() - started
    gc.collect()
    return Hosted(seconds, resident() - before)


async def bench(ground: Ground) -> list[Row]:
    """Start a process for each figure, so that none profits from what another has left behind."""
    found = [await attempt(ground, MANY) for _ in range(ground.pick(1, 3))]
    rows = [rows_of(found, MANY, MEMORY, TIME)]
    if not ground.quick:
        rows += [[await watched(ground)], rows_of([await attempt(ground, MOST)], MOST, MEMORY_OF_MOST, TIME_OF_MOST)]
    return [row for several in rows for row in several]


async def attempt(ground: Ground, count: int) -> Hosted:
    """Host so many in a new process, which is killed: to leave in good order would take as long again."""
    other = await ground.other("bench_idle")
    meter = ground.meter(other)
    found = msgspec.json.decode(await other.say(str(count)), type=Hosted)
    spent = meter.sample(0.0, count)
    other.kill()
    return msgspec.structs.replace(found, processor=spent.there, server=spent.server)


async def watched(ground: Ground) -> Row:
    """What they cost when nobody asks anything of them, and their first figures are told."""
    other = await ground.other("bench_idle")
    await other.say(str(MANY))
    await asyncio.sleep(SETTLED)
    before = processor_seconds(other.pid)
    await asyncio.sleep(WATCHED)
    share = (processor_seconds(other.pid) - before) / WATCHED
    other.kill()
    return Row(target=SHARE, figure=share * 100, about="the lease is renewed each second, figures are told every ten")


def rows_of(found: list[Hosted], count: int, memory: Target, time_: Target) -> list[Row]:
    """Memory and time: the median of the attempts."""
    sizes, seconds = sorted(each.size / 1e6 for each in found), sorted(each.seconds for each in found)
    one = found[0]
    each = f"{one.seconds / count * 1e6:.0f} µs each; processor: {one.processor * 1e6:.0f} µs, server {one.server * 1e6:.0f} µs"
    about = {memory: f"{sizes[0] * 1e6 / count:.0f} bytes each", time_: each}
    return [
        Row(target=target, figure=values[len(values) // 2], least=values[0], most=values[-1], about=about[target])
        for target, values in ((memory, sizes), (time_, seconds))
    ]


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
