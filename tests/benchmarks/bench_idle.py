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
WATCHED = 2.0
MEMORY = Target(name="10,000 idle actors: memory over the empty process", floor=20, aim=5, unit="MB")
TIME = Target(name="10,000 actors started and registered", floor=0.5, unit="s")
MEMORY_OF_MOST = Target(name="100,000 idle actors: memory over the empty process", floor=200, unit="MB")
TIME_OF_MOST = Target(name="100,000 actors started and registered", unit="s")
SHARE = Target(name="10,000 idle actors: share of a processor", unit="%")


class Hosted(msgspec.Struct, frozen=True):
    """What it took: seconds, and bytes over the empty process."""

    seconds: float
    size: int


@mesh.agent(capability="idle")
async def idler(text: str) -> str:
    """Somebody who is never asked."""
    return text


async def main(url: str) -> AsyncIterator[str]:
    """A process that hosts as many actors as it is told."""
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
    many, share = await attempt(ground, MANY)
    rows = [
        Row(target=MEMORY, figure=many.size / 1e6, about=f"{many.size / MANY:.0f} bytes each"),
        Row(target=TIME, figure=many.seconds, about=f"{many.seconds / MANY * 1e6:.0f} µs each"),
        Row(target=SHARE, figure=share * 100, about=f"over {WATCHED:g} s, leases renewed and full beats told"),
    ]
    if not ground.quick:
        most, _ = await attempt(ground, MOST)
        rows += [
            Row(target=MEMORY_OF_MOST, figure=most.size / 1e6, about=f"{most.size / MOST:.0f} bytes each"),
            Row(target=TIME_OF_MOST, figure=most.seconds, about=f"{most.seconds / MOST * 1e6:.0f} µs each"),
        ]
    return rows


async def attempt(ground: Ground, count: int) -> tuple[Hosted, float]:
    """Host so many in a new process, and look at what they do when nobody asks anything of them."""
    other = await ground.other("bench_idle")
    found = msgspec.json.decode(await other.say(str(count)), type=Hosted)
    await asyncio.sleep(0.5)  # the first figures are told
    before = processor_seconds(other.pid)
    await asyncio.sleep(WATCHED)
    share = (processor_seconds(other.pid) - before) / WATCHED
    await other.close()
    return found, share


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
