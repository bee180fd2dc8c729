"""Reading back a journal of 10,000 entries of 300 bytes: `Store.read` against an ordered consumer of nats-py.

It stands in the way of every job that is resumed: with the folding of the entries it may take 200 ms. The stream is in memory:
what is read again and again comes from memory on a file stream, too, and filling that would take longer than the bench.
"""

from __future__ import annotations

import time

import nats
from nats.js import JetStreamContext

from mesh.protocols.ports import Bus, Store, StreamSpec
from mesh.settings.target import ServerTarget
from mesh.transport.connection import connect
from tests.benchmarks.ground import Ground, Sample
from tests.benchmarks.rounds import ratio_row
from tests.benchmarks.rows import Row, Target

ENTRIES = 10_000
ENTRY = b"x" * 300
STREAM, JOURNAL = "journals", "journals.one"
RATIO = Target(name="a journal of 10,000 entries read: time / ordered consumer of nats-py", floor=0.7, aim=0.4)
TIME = Target(name="the same in milliseconds", unit="ms")


async def bench(ground: Ground) -> list[Row]:
    """The whole journal, again and again."""
    raw = await nats.connect(ground.url)
    async with await connect(ServerTarget(url=ground.url), name="reads") as ours:
        await ours.store.ensure_stream(StreamSpec(name=STREAM, subjects=(f"{STREAM}.>",), storage="memory"))
        await _write(ours.bus)
        found = await ground.take_turns(
            ground.pick(3, 15),
            raw=lambda: _by_consumer(ground, raw.jetstream()),
            ours=lambda: _read(ground, ours.store),
        )
    await raw.close()
    milliseconds = sorted(sample.figure * 1e3 for sample in found["ours"].samples)
    return [
        ratio_row(RATIO, found["ours"], found["raw"], f"raw {found['raw'].median * 1e3:.0f} ms"),
        Row(target=TIME, figure=found["ours"].median * 1e3, least=milliseconds[0], most=milliseconds[-1]),
    ]


async def _write(bus: Bus) -> None:
    for number in range(ENTRIES - 1):
        bus.publish(JOURNAL, ENTRY, headers={"Nats-Msg-Id": f"0192f0c1-2345-7abc-8def-{number:012}"})
        if number % 500 == 0:
            await bus.flush()
    await bus.request(JOURNAL, ENTRY, timeout=10.0)


async def _read(ground: Ground, store: Store) -> Sample:
    meter, started = ground.meter(), time.perf_counter()
    entries = await store.read(STREAM, JOURNAL)
    assert len(entries) == ENTRIES
    return meter.sample(time.perf_counter() - started, ENTRIES)


async def _by_consumer(ground: Ground, raw: JetStreamContext) -> Sample:
    meter, started = ground.meter(), time.perf_counter()
    reading = await raw.subscribe(JOURNAL, stream=STREAM, ordered_consumer=True)
    for _ in range(ENTRIES):
        await reading.next_msg(timeout=10.0)
    sample = meter.sample(time.perf_counter() - started, ENTRIES)
    await reading.unsubscribe()
    return sample
