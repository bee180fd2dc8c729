"""The bus against nats-py: the same bytes there and back, and one way, 1 KiB, with nothing of the mesh above the bus.

Both sides are what their users write: `bus.request` to a handler that publishes to the reply subject, `nc.request` to a
callback that responds; `bus.publish` to a handler, `nc.publish` to a callback. Beside the time on the wall stands the
processor time of both clients, which other programs on the machine hardly disturb.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import nats

from mesh.settings.target import ServerTarget
from mesh.transport.connection import connect
from tests.benchmarks import raw as raw_side
from tests.benchmarks.bench_events import TOLD_EVERY, Seen, Stretch
from tests.benchmarks.ground import PAYLOAD, Ground
from tests.benchmarks.rounds import at_once, one_by_one, ratio_row
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.series import Series

DATA = bytes(PAYLOAD)
WIDTH = 64
ONE = Target(name="bus request, 1 in flight: median time / nats-py", floor=0.8, aim=0.5)
MANY = Target(name="bus requests, 64 in flight / nats-py", floor=1.4, aim=3.0, better="higher")
CROWD = Target(name="bus requests, 256 in flight / nats-py", floor=1.4, aim=3.0, better="higher")
ONE_WAY = Target(name="bus publish to handler, 1 KiB / nats-py", floor=1.2, aim=2.3, better="higher")
MANY_COST = Target(name="bus requests, 64 in flight: processor time of both / nats-py", floor=0.6, aim=0.35)
ONE_WAY_COST = Target(name="bus publish to handler, 1 KiB: processor time of both / nats-py", floor=0.7, aim=0.4)


def cost(series: Series) -> Series:
    """The same rounds, by what an operation costs the two clients."""
    return Series(tuple(msgspec.structs.replace(each, figure=each.here + each.there) for each in series.samples))


async def main(url: str) -> AsyncIterator[str]:
    """Our answering and hearing process; the raw ones are those of other benches."""
    async with await connect(ServerTarget(url=url)) as connection:
        bus = connection.bus
        seen = Seen(lambda count: bus.publish("seen.bus", count))
        await bus.subscribe("bus.echo", lambda message: bus.publish(message.reply, message.data))
        await bus.subscribe("bus.stretch", lambda _: seen.one())
        yield ""


async def bench(ground: Ground) -> list[Row]:
    """There and back with 1, 64 and 256 in flight, then one way."""
    theirs, ours = await ground.other("raw"), await ground.other("bench_wire")
    hearer = await ground.other("bench_events", "plain")
    raw = await nats.connect(ground.url)
    async with await connect(ServerTarget(url=ground.url)) as connection:
        bus = connection.bus
        stretches = {"bus": Stretch(ground, ours, "bus"), "plain": Stretch(ground, hearer, "plain")}
        for stretch in stretches.values():
            await stretch.open(raw)

        async def ask_raw() -> None:
            await raw.request(raw_side.SUBJECT, DATA, timeout=10.0)

        async def ask() -> None:
            await bus.request("bus.echo", DATA, timeout=10.0)

        async def publish() -> None:
            bus.publish("bus.stretch", DATA)

        rows = []
        turns, rounds = ground.pick(200, 2000), ground.pick(4, 11)
        found = await ground.take_turns(
            rounds,
            raw=lambda: one_by_one(ground, theirs, ask_raw, turns),
            bus=lambda: one_by_one(ground, ours, ask, turns),
        )
        rows.append(ratio_row(ONE, found["bus"], found["raw"], f"raw {found['raw'].median * 1e6:.0f} µs"))
        for target, width in ((MANY, WIDTH), (CROWD, 4 * WIDTH)):
            each = ground.pick(2560, 12800) // width
            found = await ground.take_turns(
                rounds,
                raw=lambda width=width, each=each: at_once(ground, theirs, ask_raw, each, width=width),
                bus=lambda width=width, each=each: at_once(ground, ours, ask, each, width=width),
            )
            rows.append(ratio_row(target, found["bus"], found["raw"], f"raw {found['raw'].median:,.0f}/s"))
            if width == WIDTH:
                rows.append(ratio_row(MANY_COST, cost(found["bus"]), cost(found["raw"])))
        number = ground.pick(30, 200) * TOLD_EVERY
        found = await ground.take_turns(
            rounds,
            raw=lambda: stretches["plain"].round(lambda: raw.publish("reading.plain", DATA), number),
            bus=lambda: stretches["bus"].round(publish, number),
        )
        rows.append(ratio_row(ONE_WAY, found["bus"], found["raw"], f"raw {found['raw'].median:,.0f}/s"))
        rows.append(ratio_row(ONE_WAY_COST, cost(found["bus"]), cost(found["raw"])))
    await raw.close()
    return rows
