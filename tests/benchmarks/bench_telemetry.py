"""Telemetry over the mesh: one process tells, another listens on `tel.<process>`; events a second that arrived.

The told event has six fields, as a call's line in the log has them; they are looked through for secrets, encoded, sent many in
a message, and decoded again. The teller is never more than `AHEAD` ahead. None of it may end up in a stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import nats

from mesh.client.mesh import Mesh
from mesh.telemetry.report import Report
from mesh.telemetry.telemetry import Telemetry
from tests.benchmarks.ground import Ground
from tests.benchmarks.rows import Row, Side, Target
from tests.benchmarks.series import Sample

AHEAD = 40_000
BURST = 250
TARGET = Target(name="telemetry events end to end between two processes", floor=200_000, better="higher", unit="/s")
STORED = Target(name="telemetry events that a stream has stored", floor=0, unit="")
LOST = Target(name="telemetry events dropped", floor=0, unit="")


async def main(url: str) -> AsyncIterator[str]:
    """The telling process: for each number it is told so many events, and how far the listener is says `seen`."""
    telemetry = Telemetry(time.time)
    async with Mesh.connect(url, process="teller", telemetry=telemetry) as here:
        seen, moved = 0, asyncio.Event()

        def heard(message: object) -> None:
            nonlocal seen
            seen = int(message.data)  # type: ignore[attr-defined]
            moved.set()

        await here.peer.bus.subscribe("seen", heard)
        line = yield ""
        told = 0
        while True:
            if line == "heard?":
                line = yield str(telemetry.heard)
                continue
            for _ in range(int(line) // BURST):
                for _ in range(BURST):
                    telemetry.emit(
                        "agent.call", agent="clerk", instance="clerk-1", command="upper", latency=0.0123,
                        tokens_in=12, exit_status="success",
                    )  # fmt: skip
                told += BURST
                await asyncio.sleep(0)
                while told - seen > AHEAD:
                    moved.clear()
                    await asyncio.wait_for(moved.wait(), 10.0)
            line = yield str(told)


class Listener:
    """Counts what arrives, and says so."""

    def __init__(self, here: Mesh) -> None:
        self._here = here
        self.count = self.dropped = self.goal = 0
        self.reached = asyncio.Event()

    def hear(self, process: str, report: Report) -> None:
        """One report."""
        self.count += len(report.events)
        self.dropped += report.dropped
        self._here.peer.bus.publish("seen", b"%d" % (self.count + self.dropped))
        if self.count + self.dropped >= self.goal:
            self.reached.set()


async def stored(url: str) -> int:
    """How many messages all streams hold."""
    connection = await nats.connect(url)
    try:
        return sum([each.state.messages for each in await connection.jetstream().streams_info()])
    finally:
        await connection.close()


async def bench(ground: Ground) -> list[Row]:
    """Rounds of so many events; the last arrival ends a round."""
    teller = await ground.other("bench_telemetry")
    number = ground.pick(50_000, 400_000)
    async with Mesh.connect(ground.url, name="listens") as here:
        await here.peer.events.ensure()
        before = await stored(ground.url)
        listener = Listener(here)
        subscription = await here.telemetry(listener.hear, process="teller")
        while await teller.say("heard?") != "True":  # noqa: ASYNC110
            await asyncio.sleep(0.01)

        async def round_of_events() -> Sample:
            listener.goal += number
            listener.reached.clear()
            meter, started = ground.meter(teller), time.perf_counter()
            await teller.say(str(number))
            async with asyncio.timeout(10.0):
                await listener.reached.wait()
            return meter.sample(number / (time.perf_counter() - started), number)

        series = (await ground.take_turns(ground.pick(5, 15), told=round_of_events))["told"]
        await subscription.close()
        kept = await stored(ground.url) - before
    figures = [sample.figure for sample in series.samples]
    side: Side = series.side()
    return [
        Row(
            target=TARGET, figure=series.median, least=min(figures), most=max(figures), rounds=len(figures), ours=side,
        ),
        Row(target=STORED, figure=kept),
        Row(target=LOST, figure=listener.dropped, about=f"of {listener.goal:,}"),
    ]  # fmt: skip
