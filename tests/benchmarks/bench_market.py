"""A crowded market: 64 initiators give work to 8 agents that can do one thing at a time. Eight times what there is room for.

Each initiator is a connection of its own with a directory of its own; none knows what the others are about to award. What
counts is that awards are not sent in vain, that no agent does two things at once, and that the agents are kept busy.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec

from mesh import Agent, command
from mesh.client.mesh import Mesh
from mesh.contract_net.calls import Call
from mesh.resilience.deadline import Deadline
from mesh.telemetry.telemetry import Telemetry
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.rows import Row, Target

INITIATORS, CALLING, AGENTS, HOSTING = 64, 4, 8, 4
"""Initiators, the processes they are in, agents, and the processes these are in."""
SECONDS = 0.05
"""What one piece of work takes."""
DECLINES = Target(name="64 initiators, 8 agents of capacity one: share of awards declined", floor=0.2, unit="")
MOST = Target(name="64 initiators, 8 agents of capacity one: most at once at any agent", floor=1.0, unit="")
BUSY = Target(name="64 initiators, 8 agents of capacity one: share of time the agents worked", better="higher", unit="")
EFFORT = msgspec.Raw(msgspec.json.encode({"seconds": SECONDS}))


class Worker(Agent, name="worker", capacity=1):
    """Knows how many of its calls have ever run at the same time."""

    most = 0

    def __init__(self) -> None:
        self.now = 0

    @command(capability="market.work", timeout=60.0)
    async def work(self, seconds: float) -> None:
        """Take so long."""
        self.now += 1
        Worker.most = max(Worker.most, self.now)
        await asyncio.sleep(seconds)
        self.now -= 1


async def main(url: str, side: str) -> AsyncIterator[str]:
    """A process with some of the agents, or with some of the initiators."""
    if side == "agents":
        async with Mesh.connect(url, name="agents") as here:
            for number in range(AGENTS // HOSTING):
                await here.host(Worker, instance=f"{here.process}-{number}")
            yield ""
            while True:
                yield str(Worker.most)
    async with AsyncExitStack() as stack:
        events: Counter[str] = Counter()
        telemetry = Telemetry(time.time, lambda event, at, fields: events.update([event]))
        meshes = [
            await stack.enter_async_context(Mesh.connect(url, name="calls", telemetry=telemetry))
            for _ in range(INITIATORS // CALLING)
        ]
        await there(lambda: all(len(each.directory.lookup("market.work")) == AGENTS for each in meshes))
        turns = yield ""
        while True:
            events.clear()
            await asyncio.gather(*(call(each, int(turns)) for each in meshes))
            turns = yield str(events["award.sent"])


async def call(mesh: Mesh, turns: int) -> None:
    """One initiator gives away one piece of work after the other."""
    for _ in range(turns):
        deadline = Deadline.after(mesh.peer.clock, 60.0)
        await mesh.initiator.contract(Call(capability="market.work", input=EFFORT, deadline=deadline, rounds=1000))


async def bench(ground: Ground) -> list[Row]:
    """Awards sent in vain, the most at once at an agent, and how busy the agents were."""
    agents = [await ground.other("bench_market", "agents") for _ in range(HOSTING)]
    callers = [await ground.other("bench_market", "initiators") for _ in range(CALLING)]
    declined, busy = [], []
    for _ in range(ground.pick(1, 4)):
        turns = ground.pick(5, 12)
        started = time.perf_counter()
        awards = sum([int(each) for each in await asyncio.gather(*(each.say(str(turns)) for each in callers))])
        done = INITIATORS * turns
        declined.append((awards - done) / awards)
        busy.append(done * SECONDS / AGENTS / (time.perf_counter() - started))
    most = max([int(await each.say("")) for each in agents])
    about = f"{len(declined) * INITIATORS * turns} calls of {SECONDS * 1e3:.0f} ms"
    return [
        Row(target=DECLINES, figure=max(declined), least=min(declined), most=max(declined), about=about),
        Row(target=MOST, figure=most),
        Row(target=BUSY, figure=min(busy), least=min(busy), most=max(busy)),
    ]
