"""What an agent gets done that is asked for more than it can do: calls that came in time, against the most it can do.

Four at once, twenty milliseconds each, a mailbox that holds more than twice what the callers have time for: first as fast as 32
callers can, each with one call at a time; then calls come at twice, and at five times, that rate, and each has 400 ms.
Without refusals up front, what is begun would be what has been waiting longest: nearly all of it in vain.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import mesh
from mesh.client.mesh import Mesh
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.open_loop import Came, come
from tests.benchmarks.rounds import at_once, ratio_row
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.series import Sample

SECONDS, PLACES, CALLERS = 0.02, 4, 32
PATIENCE = 0.4
TWICE = Target(name="asked for twice what it can do: done in time / the most it can do", floor=0.9, better="higher")
FIVE_TIMES = Target(name="asked for five times what it can do: done in time / the most it can do", better="higher")


@mesh.agent(capacity=PLACES)
async def desk(text: str) -> str:
    """Take some time, not the processor."""
    await asyncio.sleep(SECONDS)
    return text


async def main(url: str) -> AsyncIterator[str]:
    """The process of the agent. Says what it refused and dropped since it was asked last."""
    async with Mesh.connect(url, name="desks") as here:
        await here.host(desk)
        yield ""
        while True:
            counts = dict(here.peer.counts)
            here.peer.counts.clear()
            yield ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


async def bench(ground: Ground) -> list[Row]:
    """The rate it can do, then more."""
    other = await ground.other("bench_overload")
    said: dict[int, Came] = {}
    refused: dict[int, str] = {}
    async with Mesh.connect(ground.url, name="asks") as here:
        await there(lambda: here.directory.instances("desk"))
        most = 1.0

        async def usual() -> Sample:
            nonlocal most
            ask = lambda: here.ask("desk", text="x", timeout=30.0)  # noqa: E731
            sample = await at_once(ground, other, ask, ground.pick(10, 25), width=CALLERS)
            most = sample.figure
            return sample

        async def crowd(times: int, seconds: float) -> Sample:
            meter = ground.meter(other)
            await other.say("")
            came = said[times] = await come(times * most, seconds, lambda: here.ask("desk", text="x", timeout=PATIENCE))
            refused[times] = await other.say("")
            return meter.sample(came.meanwhile / seconds, sum(came.values()))

        seconds = ground.pick(15, 40) / 10
        turns = await ground.take_turns(
            ground.pick(3, 7), usual=usual, twice=lambda: crowd(2, seconds), five_times=lambda: crowd(5, seconds)
        )
    return [
        ratio_row(target, turns[name], turns["usual"], _words(said[times], refused[times]))
        for target, name, times in ((TWICE, "twice", 2), (FIVE_TIMES, "five_times", 5))
    ]


def _words(came: Came, refused: str) -> str:
    ended = ", ".join(f"{count} {name}" for name, count in came.most_common())
    return f"the last round: {ended}; counted there: {refused}"
