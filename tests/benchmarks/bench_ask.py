"""`ask` against a raw request of nats-py: one process asks, another answers with the payload it got, 1 KiB.

The raw side has nothing: no envelope, no contract, no deadline but the request's own. Ours is what users get: a typed
argument and a typed result, correlation, deadline, breaker, mailbox.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import nats

import mesh
from mesh.client.mesh import Mesh
from tests.benchmarks.ground import PAYLOAD, Ground, there
from tests.benchmarks.rounds import at_once, one_by_one, ratio_row
from tests.benchmarks.rows import Row, Target

TEXT = "x" * PAYLOAD
LATENCY = Target(name="ask, 1 in flight: median time / raw request", floor=0.75, aim=0.6)
THROUGHPUT = Target(name="ask, 64 in flight: asks a second / raw requests", floor=1.25, aim=2.0, better="higher")


@mesh.agent(capacity=64)
async def echo(text: str) -> str:
    """Give back what came."""
    return text


async def main(url: str, side: str) -> AsyncIterator[str]:
    """The answering process: `raw` or `mesh`."""
    if side == "raw":
        connection = await nats.connect(url)

        async def answer(message: nats.aio.msg.Msg) -> None:
            await message.respond(message.data)

        await connection.subscribe("raw.echo", cb=answer)
        await connection.flush()
        yield ""
        await connection.close()
        return
    async with Mesh.connect(url, name="answers") as here:
        await here.host(echo)
        yield ""


async def bench(ground: Ground) -> list[Row]:
    """Latency one by one, throughput at 64."""
    raw_side, mesh_side = await ground.other("bench_ask", "raw"), await ground.other("bench_ask", "mesh")
    raw = await nats.connect(ground.url)
    payload = msgspec.json.encode(TEXT)
    async with Mesh.connect(ground.url, name="asks") as here:
        await there(lambda: here.directory.instances("echo"))

        async def ask_raw() -> None:
            await raw.request("raw.echo", payload, timeout=10.0)

        async def ask() -> None:
            await here.ask("echo", text=TEXT, returns=str)

        turns, many = ground.pick(300, 2000), ground.pick(40, 200)
        one = await ground.take_turns(
            ground.pick(5, 15),
            raw=lambda: one_by_one(ground, raw_side, ask_raw, turns),
            ask=lambda: one_by_one(ground, mesh_side, ask, turns),
        )
        crowd = await ground.take_turns(
            ground.pick(3, 11),
            raw=lambda: at_once(ground, raw_side, ask_raw, many),
            ask=lambda: at_once(ground, mesh_side, ask, many),
        )
    await raw.close()
    return [
        ratio_row(LATENCY, one["ask"], one["raw"], f"raw {one['raw'].median * 1e6:.0f} µs"),
        ratio_row(THROUGHPUT, crowd["ask"], crowd["raw"], f"raw {crowd['raw'].median:,.0f}/s"),
    ]
