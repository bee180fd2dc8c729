"""Pulling from a durable consumer, 1 KiB messages in memory, against the `fetch` loop of nats-py: messages a second.

Our acks are confirmed by the server; nats-py's `ack` is not, and is what its users write. The loop that confirms its acks, too,
stands beside it for information.
"""

from __future__ import annotations

import asyncio
import time

import nats
from nats.js import JetStreamContext

from mesh.protocols.ports import Store, StreamSpec
from mesh.settings.target import ServerTarget
from mesh.transport.connection import Connection, connect
from tests.benchmarks.ground import PAYLOAD, Ground, Sample
from tests.benchmarks.rounds import ratio_row
from tests.benchmarks.rows import Row, Target

STREAM = "pulled"
FETCH = 100
WORKERS = 128
PREFETCH = 256
PULLED = Target(
    name="pulled and acked (confirmed): messages a second / fetch and ack of nats-py",
    floor=2.0,
    aim=3.0,
    better="higher",
)
CONFIRMED = Target(name="the same / fetch and ack_sync of nats-py", better="higher")


async def bench(ground: Ground) -> list[Row]:
    """Everything in a stream, once for each contender and round."""
    count = ground.pick(2_500, 20_000)
    raw = await nats.connect(ground.url)
    async with await connect(ServerTarget(url=ground.url), name="pulls") as ours:
        await _fill(ours, count)
        found = await ground.take_turns(
            ground.pick(7, 11),
            raw=lambda: _fetched(ground, raw.jetstream(), count, confirmed=False),
            confirmed=lambda: _fetched(ground, raw.jetstream(), count, confirmed=True),
            ours=lambda: _pulled(ground, ours.store, count),
        )
    await raw.close()
    return [
        ratio_row(PULLED, found["ours"], found["raw"], f"raw {found['raw'].median:,.0f}/s"),
        ratio_row(CONFIRMED, found["ours"], found["confirmed"], f"raw {found['confirmed'].median:,.0f}/s"),
    ]


async def _fill(ours: Connection, count: int) -> None:
    await ours.store.ensure_stream(StreamSpec(name=STREAM, subjects=(f"{STREAM}.>",), storage="memory"))
    for number in range(count - 1):
        ours.bus.publish(f"{STREAM}.a", b"x" * PAYLOAD)
        if number % 500 == 0:
            await ours.bus.flush()
    await ours.store.append(f"{STREAM}.a", b"x" * PAYLOAD)


async def _fetched(ground: Ground, raw: JetStreamContext, count: int, *, confirmed: bool) -> Sample:
    pulling = await raw.pull_subscribe(f"{STREAM}.>", durable=_name(ground), stream=STREAM)
    meter, started, left = ground.meter(), time.perf_counter(), count
    while left:
        messages = await pulling.fetch(FETCH, timeout=10.0)
        left -= len(messages)
        if confirmed:
            await asyncio.gather(*(message.ack_sync() for message in messages))
        else:
            for message in messages:
                await message.ack()
    sample = meter.sample(count / (time.perf_counter() - started), count)
    await pulling.unsubscribe()
    return sample


async def _pulled(ground: Ground, store: Store, count: int) -> Sample:
    consumer = await store.consumer(STREAM, _name(ground), (f"{STREAM}.>",), prefetch=PREFETCH)
    left = count

    async def work() -> None:
        nonlocal left
        while left:
            left -= 1
            delivery = await consumer.next(10.0)
            assert delivery is not None
            await delivery.ack()

    meter, started = ground.meter(), time.perf_counter()
    await asyncio.gather(*(work() for _ in range(WORKERS)))
    sample = meter.sample(count / (time.perf_counter() - started), count)
    await consumer.close()
    return sample


def _name(ground: Ground) -> str:
    return f"d{ground.random.getrandbits(48):x}"
