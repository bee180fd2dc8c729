"""Events to a subscribed handler against raw pub-sub of nats-py: one process emits, another hears, 1 KiB each.

The raw side publishes bytes and counts them in a callback. Ours is what users get: `emit(…, stored=False)` to an `@on_event`
handler, with envelope, contract, mailbox and deadline; the body is a Struct, or `Raw` at both ends. The emitter is never
more than `AHEAD` ahead: the server would cut off whoever cannot follow. A round ends when everything has arrived.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import msgspec
import nats

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import on_event
from mesh.client.mesh import Mesh
from tests.benchmarks.ground import PAYLOAD, Ground, Other, there
from tests.benchmarks.rounds import ratio_row
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.series import Sample

AHEAD = 2048
"""How far the emitter may be ahead of the hearer."""
TOLD_EVERY = 256
"""After so many the hearer says how far it is."""
BURST = 32
"""After so many the emitter lets others have the loop."""
STUCK = 5.0

ONE_TYPED = Target(name="events one by one, typed body / raw pub-sub", floor=1.0, aim=1.3, better="higher")
ONE_RAW = Target(name="events one by one, Raw body / raw pub-sub", floor=1.2, aim=1.6, better="higher")
ONE_CALLBACK = Target(name="events one by one to a subscriber's callback / raw pub-sub", better="higher")
MANY_TYPED = Target(name="events in batches, typed body / raw pub-sub", better="higher")
MANY_RAW = Target(name="events in batches, Raw body / raw pub-sub", floor=2.0, better="higher")


class Reading(msgspec.Struct):
    """What is emitted: `PAYLOAD` bytes as JSON."""

    sensor: str
    at: float
    values: list[float]
    labels: dict[str, str]
    note: str


def reading() -> Reading:
    """One of exactly `PAYLOAD` bytes."""
    values = [21.5, 21.75, 22.0, 21.25]
    bare = Reading("boiler-room-3", 1_700_000_000.25, values, {"site": "north", "unit": "celsius"}, "")
    return msgspec.structs.replace(bare, note="x" * (PAYLOAD - len(msgspec.json.encode(bare))))


class Seen:
    """The hearer's count: every so often the emitter is told."""

    def __init__(self, tell: Callable[[bytes], object]) -> None:
        self.count = 0
        self._tell = tell

    def one(self) -> None:
        """One more."""
        self.count += 1
        if self.count % TOLD_EVERY == 0:
            self._tell(b"%d" % self.count)


class Typed(Agent):
    """Hears Structs."""

    mailbox = 2 * AHEAD
    seen: Seen

    @on_event("reading.typed")
    async def heard(self, event: Reading) -> None:
        """One more."""
        self.seen.one()


class Untouched(Agent):
    """Hears bytes."""

    mailbox = 2 * AHEAD
    seen: Seen

    @on_event("reading.raw")
    async def heard(self, event: msgspec.Raw) -> None:
        """One more."""
        self.seen.one()


AGENTS = {"typed": Typed, "raw": Untouched}


async def main(url: str, kind: str) -> AsyncIterator[str]:
    """The hearing process: `plain` for the raw subscriber, `callback` for ours, or the kind of body a handler hears."""
    if kind == "plain":
        connection = await nats.connect(url)
        told: set[asyncio.Task[None]] = set()

        def tell(count: bytes) -> None:
            told.add(asyncio.ensure_future(connection.publish("seen.plain", count)))

        seen = Seen(tell)

        async def heard(message: nats.aio.msg.Msg) -> None:
            seen.one()

        await connection.subscribe("reading.plain", cb=heard)
        await connection.flush()
        yield ""
        await connection.close()
        return
    async with Mesh.connect(url, name="hears") as here:
        seen = Seen(lambda count: here.peer.bus.publish(f"seen.{kind}", count))
        if kind == "callback":
            await here.subscribe(lambda event: seen.one(), "reading.callback")
        else:
            AGENTS[kind].seen = seen
            await here.host(AGENTS[kind])
        yield ""


class Stretch:
    """The emitter's side of one hearer: how far it is, and rounds of events to it."""

    def __init__(self, ground: Ground, other: Other, kind: str) -> None:
        self._ground, self._other = ground, other
        self._sent = self._seen = 0
        self._moved = asyncio.Event()
        self.subject = f"seen.{kind}"

    async def open(self, connection: nats.aio.client.Client) -> None:
        """Hear how far the hearer is."""

        async def told(message: nats.aio.msg.Msg) -> None:
            self._seen = int(message.data)
            self._moved.set()

        await connection.subscribe(self.subject, cb=told)

    async def round(self, emit: Callable[[], Awaitable[object]], number: int) -> Sample:
        """Emit so many (in hundreds of what the hearer tells), until all have arrived; events a second."""
        meter, started = self._ground.meter(self._other), time.perf_counter()
        for _ in range(number // BURST):
            for _ in range(BURST):
                await emit()
            self._sent += BURST
            await asyncio.sleep(0)
            await self._until(self._sent - AHEAD)
        await self._until(self._sent)
        return meter.sample(number / (time.perf_counter() - started), number)

    async def _until(self, seen: int) -> None:
        while self._seen < seen:
            self._moved.clear()
            async with asyncio.timeout(STUCK):
                await self._moved.wait()


async def bench(ground: Ground) -> list[Row]:
    """One by one and in batches, typed and `Raw`, beside raw pub-sub."""
    stretches = {
        kind: Stretch(ground, await ground.other("bench_events", kind), kind)
        for kind in ("plain", "typed", "raw", "callback")
    }
    async with AsyncExitStack() as stack:
        raw = await nats.connect(ground.url)
        stack.push_async_callback(raw.close)
        for stretch in stretches.values():
            await stretch.open(raw)
        one = await stack.enter_async_context(Mesh.connect(ground.url, name="one", event_batches=False))
        many = await stack.enter_async_context(Mesh.connect(ground.url, name="many", event_batches=True))
        await there(lambda: one.directory.instances("typed") and one.directory.instances("untouched"))
        number = ground.pick(32, 120) * TOLD_EVERY
        body = reading()
        data = msgspec.json.encode(body)
        untouched = msgspec.Raw(data)
        found = await ground.take_turns(
            ground.pick(3, 11),
            plain=lambda: stretches["plain"].round(lambda: raw.publish("reading.plain", data), number),
            one_typed=lambda: stretches["typed"].round(lambda: one.emit("reading.typed", body, stored=False), number),
            one_raw=lambda: stretches["raw"].round(lambda: one.emit("reading.raw", untouched, stored=False), number),
            one_callback=lambda: stretches["callback"].round(
                lambda: one.emit("reading.callback", untouched, stored=False), number
            ),
            many_typed=lambda: stretches["typed"].round(lambda: many.emit("reading.typed", body, stored=False), number),
            many_raw=lambda: stretches["raw"].round(lambda: many.emit("reading.raw", untouched, stored=False), number),
        )
    base = found["plain"]
    return [
        ratio_row(target, found[name], base, f"{found[name].median:,.0f}/s, raw {base.median:,.0f}/s")
        for target, name in (
            (ONE_TYPED, "one_typed"), (ONE_RAW, "one_raw"), (ONE_CALLBACK, "one_callback"),
            (MANY_TYPED, "many_typed"), (MANY_RAW, "many_raw")
        )
    ]  # fmt: skip
