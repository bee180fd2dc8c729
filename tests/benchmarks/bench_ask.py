"""`ask` against a raw request of nats-py: one process asks, another answers with the payload it got, 1 KiB.

The raw side has nothing: no envelope, no contract, no deadline but the request's own. Ours is what users get: a typed
argument and a typed result, correlation, deadline, breaker, mailbox. For information: the same with a body that is left as
it is, `tell`, and what deadline, breaker and retry budget take of an ask's processor time (`guards.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import nats

import mesh
from mesh.client.mesh import Mesh
from tests.benchmarks.ground import PAYLOAD, Ground, there
from tests.benchmarks.guards import guards
from tests.benchmarks.raw import SUBJECT
from tests.benchmarks.rounds import AT_ONCE, at_once, one_by_one, ratio_row
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.series import Sample

TEXT = "x" * PAYLOAD
LATENCY = Target(name="ask, 1 in flight: median time / raw request", floor=0.75, aim=0.6)
THROUGHPUT = Target(name="ask, 64 in flight: asks a second / raw requests", floor=1.25, aim=2.0, better="higher")
RAW_BODIES = Target(name="ask with Raw bodies, 64 in flight: asks a second / raw requests", better="higher")
TELLS = Target(name="tell: handled a second / raw requests", better="higher")
GUARDS = Target(name="deadline, breaker and retry budget of one ask", floor=5.0, unit="µs")
GUARDED_AT_ONCE = 2000


@mesh.agent(capacity=64)
async def echo(text: str) -> str:
    """Give back what came."""
    return text


@mesh.agent(capacity=64)
async def mirror(body: msgspec.Raw) -> msgspec.Raw:
    """Give back what came, unread."""
    return body


@mesh.agent(mailbox=1_000_000)
async def take(text: str) -> None:
    """Take what came."""


async def main(url: str) -> AsyncIterator[str]:
    """The answering process."""
    async with Mesh.connect(url, name="answers") as here:
        for agent in (echo, mirror, take):
            await here.host(agent)
        yield ""


async def bench(ground: Ground) -> list[Row]:
    """Latency one by one, throughput at 64."""
    raw_side, mesh_side = await ground.other("raw"), await ground.other("bench_ask")
    raw = await nats.connect(ground.url)
    payload = msgspec.json.encode(TEXT)
    body = msgspec.Raw(msgspec.json.encode({"text": TEXT}))
    async with Mesh.connect(ground.url, name="asks") as here:
        await there(lambda: all(here.directory.instances(name) for name in ("echo", "mirror", "take")))

        async def ask_raw() -> None:
            await raw.request(SUBJECT, payload, timeout=10.0)

        async def ask() -> None:
            await here.ask("echo", text=TEXT, returns=str)

        async def ask_unread() -> None:
            await here.ask("mirror", body, returns=msgspec.Raw)

        async def tell(number: int) -> Sample:
            """So many, and one ask behind them: its answer says that all are handled."""
            meter, started = ground.meter(mesh_side), time.perf_counter()
            for count in range(number):
                await here.tell("take", text=TEXT)
                if count % AT_ONCE == 0:
                    await asyncio.sleep(0)
            await here.ask("take", text="")
            return meter.sample(number / (time.perf_counter() - started), number)

        turns, many = ground.pick(300, 1000), ground.pick(40, 100)
        one = await ground.take_turns(
            ground.pick(5, 15),
            raw=lambda: one_by_one(ground, raw_side, ask_raw, turns),
            ask=lambda: one_by_one(ground, mesh_side, ask, turns),
        )
        crowd = await ground.take_turns(
            ground.pick(3, 11),
            raw=lambda: at_once(ground, raw_side, ask_raw, many),
            ask=lambda: at_once(ground, mesh_side, ask, many),
            unread=lambda: at_once(ground, mesh_side, ask_unread, many),
            tell=lambda: tell(many * AT_ONCE // 2),
            guards=lambda: guards(here.peer, "echo", GUARDED_AT_ONCE),
        )
    await raw.close()
    guarded = [sample.figure * 1e6 for sample in crowd["guards"].samples]
    return [
        ratio_row(LATENCY, one["ask"], one["raw"], f"raw {one['raw'].median * 1e6:.0f} µs"),
        ratio_row(THROUGHPUT, crowd["ask"], crowd["raw"], f"raw {crowd['raw'].median:,.0f}/s"),
        ratio_row(RAW_BODIES, crowd["unread"], crowd["raw"]),
        ratio_row(TELLS, crowd["tell"], crowd["raw"]),
        Row(
            target=GUARDS, figure=crowd["guards"].median * 1e6, least=min(guarded), most=max(guarded), rounds=len(guarded),
        ),
    ]  # fmt: skip
