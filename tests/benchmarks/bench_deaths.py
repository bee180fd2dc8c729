"""`kill -9` of an agent's process until another process's directory lists it no more.

Beside it, in the same run: a process with nothing but an open socket is killed, until the other end of the socket is seen
closed. That is the least anybody can know of a death; what is above it the server and we have added.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from statistics import quantiles

import mesh
from mesh.client.mesh import Mesh
from mesh.registry.listing import Change
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.other import Other
from tests.benchmarks.rows import Row, Target

ALIVE = 5
"""Processes that stand by while one of them is killed."""
WITHIN = 10.0
DEATH = Target(name="`kill -9` to gone from another directory, p99", floor=50, aim=15, unit="ms")
SOCKET = Target(name="`kill -9` to its socket seen closed, p99", unit="ms")


@mesh.agent(capability="idle")
async def victim(text: str) -> str:
    """Somebody who is killed."""
    return text


async def main(url: str, kind: str) -> AsyncIterator[str]:
    """A process that lives until it is killed: as an `agent`, or with its `socket` only."""
    if kind == "socket":
        yield ""
        return
    async with Mesh.connect(url, name="victim") as here:
        await here.host(victim)
        yield here.process


async def bench(ground: Ground) -> list[Row]:
    """Kill them one by one; a new one takes the place of each."""
    kills = ground.pick(15, 120)
    async with Mesh.connect(ground.url, name="witness") as here:
        others = [await ground.other("bench_deaths", "agent") for _ in range(ALIVE)]
        deaths, sockets = [], []
        for _ in range(kills):
            sockets.append(await closed(await ground.other("bench_deaths", "socket")))
            await there(lambda: len(here.directory.instances("victim")) == ALIVE)
            deaths.append(await unlisted(others.pop(ground.random.randrange(ALIVE)), here))
            others.append(await ground.other("bench_deaths", "agent"))
    return [row(SOCKET, sockets), row(DEATH, deaths)]


async def closed(other: Other) -> float:
    """Seconds from the kill until the socket to the process is at its end."""
    started = time.perf_counter()
    other.kill()
    await other.close()
    return time.perf_counter() - started


async def unlisted(other: Other, here: Mesh) -> float:
    """Seconds from the kill until the directory says that its instance is gone."""
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def changed(change: Change) -> None:
        if change.kind == "instance-down" and not gone.done():
            gone.set_result(time.perf_counter())

    forget = here.directory.on_change(changed)
    started = time.perf_counter()
    other.kill()
    try:
        return await asyncio.wait_for(gone, WITHIN) - started
    finally:
        forget()


def row(target: Target, seconds: list[float]) -> Row:
    """The 99th percentile of so many kills; with fewer than a hundred that is the worst."""
    times = sorted(each * 1e3 for each in seconds)
    p99 = quantiles(times, n=100, method="inclusive")[98] if len(times) >= 100 else times[-1]
    about = f"p50 {times[len(times) // 2]:.1f} ms, the worst {times[-1]:.1f} ms of {len(times)} kills"
    return Row(target=target, figure=p99, least=times[0], most=times[-1], rounds=len(times), about=about)
