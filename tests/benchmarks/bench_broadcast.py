"""Calls to everybody: how their time grows with the bidders, in one process and in several.

A process answers once, for all its instances, and looks at a sample of them only. So an award by broadcast costs what its
processes cost, not what its agents do; the curve over processes is told for information.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import mesh
from mesh.client.mesh import Mesh
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.rounds import one_by_one, ratio_row
from tests.benchmarks.rows import Row, Target

CURVE = ((5, 1), (50, 1), (500, 1), (48, 4), (500, 4), (48, 8), (496, 8))
"""Bidders and the processes they are in."""
BASE = (5, 1)
GROWTH = Target(name="broadcast, one process: 500 bidders / 5", floor=2.0)


async def main(url: str, capability: str, bidders: str) -> AsyncIterator[str]:
    """A process with so many bidders."""

    @mesh.agent(name="bidder", capacity=64, capability=capability)
    async def echo(text: str) -> str:
        """Give back what came."""
        return text

    async with Mesh.connect(url, name="bids") as here:
        for number in range(int(bidders)):
            await here.host(echo, instance=f"{here.process}-{number}")
        yield ""


async def bench(ground: Ground) -> list[Row]:
    """The curve; its floor is for 500 bidders in one process beside five."""
    sides = {}
    for bidders, processes in CURVE:
        capability = f"call.n{bidders}.p{processes}"
        each = str(bidders // processes)
        sides[bidders, processes] = [await ground.other("bench_broadcast", capability, each) for _ in range(processes)]
    async with Mesh.connect(ground.url, name="calls") as here:

        async def call(capability: str) -> None:
            await here.call(capability, text="hello", returns=str, mode="broadcast")

        contenders = {}
        for (bidders, processes), others in sides.items():
            capability = f"call.n{bidders}.p{processes}"
            await there(partial(_known, here, capability, bidders))
            contenders[f"{bidders} in {processes}"] = partial(
                one_by_one, ground, others, partial(call, capability), ground.pick(20, 200)
            )
        found = await ground.take_turns(ground.pick(3, 11), **contenders)
    base = found["{} in {}".format(*BASE)]
    rows = [ratio_row(GROWTH, found["500 in 1"], base, f"5 in one: {base.median * 1e6:.0f} µs")]
    for bidders, processes in CURVE:
        name = f"{bidders} in {processes}"
        target = Target(name=f"broadcast, {bidders} bidders in {processes} process(es): median time", unit="µs")
        samples = [each.figure * 1e6 for each in found[name].samples]
        rows.append(Row(target=target, figure=found[name].median * 1e6, least=min(samples), most=max(samples)))
    return rows


def _known(here: Mesh, capability: str, count: int) -> bool:
    return len(here.directory.lookup(capability)) == count
