"""Awards against `ask`: the same work by the same agents in the same run, given away by bids instead of by name.

Five bidders in two processes, 500 in two others, all real; for 5,000 the caller's directory lists a thousand times as many
as answer, and their process lets each of its five agents answer for a thousand names. Capacity is no issue here:
`bench_market` and `bench_choice` are about that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

import mesh
from mesh.client.mesh import Mesh
from mesh.contract_net.bids import Seat
from mesh.protocols.acts import Mode
from tests.benchmarks.ground import PAYLOAD, Ground, there
from tests.benchmarks.other import Other
from tests.benchmarks.rounds import at_once, one_by_one, ratio_row
from tests.benchmarks.rows import Row, Target
from tests.benchmarks.series import Sample, Series

TEXT = "x" * PAYLOAD
CROWDS = {"few": 5, "many": 500, "most": 5000}
ANSWERING = 5
"""Of the 5,000, those that are there."""
BESIDE_ASK = {"standing": 1.3, "directed": 2.5}
GROWTH = 1.2

Contenders = dict[str, Callable[[], Awaitable[Sample]]]


def agent(crowd: str) -> Any:
    """What the bidders of a crowd are: the capability is `work.<crowd>`, the agent has the crowd's name."""

    @mesh.agent(name=crowd, capacity=64, capability=f"work.{crowd}")
    async def echo(text: str) -> str:
        """Give back what came."""
        return text

    return echo


async def main(url: str, crowd: str, first: str, last: str) -> AsyncIterator[str]:
    """A process with the bidders `first` to `last` of a crowd."""
    worker = agent(crowd)
    async with Mesh.connect(url, name=crowd) as here:
        names = range(int(first), int(last))
        real = names if crowd != "most" else names[:ANSWERING]
        await asyncio.gather(*(here.host(worker, instance=f"{crowd}-{number}") for number in real))
        seats = here.participant.bids._seats[f"work.{crowd}"]
        actors = [seat.actor for seat in seats.values()]
        handler = next(iter(seats.values())).handler
        for number in names[len(real) :]:
            seats[f"{crowd}.{crowd}-{number}"] = Seat(actors[number % len(actors)], handler)
        yield ""


def known(here: Mesh, crowd: str, count: int) -> bool:
    """Whether so many are listed, with their bids."""
    listed = here.directory.lookup(f"work.{crowd}")
    return len(listed) == count and all(each.figures.bids for each in listed)


def pretend(here: Mesh, crowd: str, count: int) -> None:
    """List as many bidders as there should be, like those that are there."""
    roster = here.directory._roster
    real = here.directory.lookup(f"work.{crowd}")
    for number in range(len(real), count):
        like = real[number % len(real)]
        record = msgspec.structs.replace(like.record, instance=f"{crowd}-{number}")
        roster.record(record, 0)
        roster.figures(record.key, like.figures, here.peer.clock.monotonic())


async def bench(ground: Ground) -> list[Row]:
    """Standing and directed awards beside ask; with 500 and 5,000 bidders beside five."""
    sides = {
        "few": [await ground.other("bench_award", "few", *map(str, part)) for part in ((0, 3), (3, 5))],
        "many": [await ground.other("bench_award", "many", *map(str, part)) for part in ((0, 250), (250, 500))],
        "most": [await ground.other("bench_award", "most", "0", "5000")],
    }
    async with Mesh.connect(ground.url, name="calls") as here:
        for crowd, count in CROWDS.items():
            await there(partial(known, here, crowd, ANSWERING if crowd == "most" else count))
        pretend(here, "most", CROWDS["most"])
        one = await ground.take_turns(
            ground.pick(5, 9), **contenders(ground, here, sides, one_by_one, ground.pick(60, 120))
        )
        crowd = await ground.take_turns(
            ground.pick(3, 5), **contenders(ground, here, sides, at_once, ground.pick(8, 24))
        )
    return [
        *rows(one, "1 in flight: median time"),
        *rows({name: series.inverted() for name, series in crowd.items()}, "64 in flight: time an award"),
    ]


def contenders(ground: Ground, here: Mesh, sides: dict[str, list[Other]], measure: Callable, turns: int) -> Contenders:
    """Ask, and each mode with each crowd."""

    async def ask() -> None:
        await here.ask("few", text=TEXT, returns=str)

    def award(mode: Mode, crowd: str) -> Callable[[], Awaitable[Sample]]:
        async def call() -> None:
            await here.call(f"work.{crowd}", text=TEXT, returns=str, mode=mode)

        return lambda: measure(ground, sides[crowd], call, turns)

    found: Contenders = {"ask": lambda: measure(ground, sides["few"], ask, turns)}
    for mode in ("standing", "directed"):
        found |= {f"{mode}_{crowd}": award(mode, crowd) for crowd in CROWDS}
    return found


def rows(found: dict[str, Series], what: str) -> list[Row]:
    """Each mode beside ask, and its growth with the number of bidders."""

    def row(name: str, ours: str, base: str, floor: float) -> Row:
        return ratio_row(Target(name=f"{name}, {what}", floor=floor), found[ours], found[base])

    made = []
    for mode, floor in BESIDE_ASK.items():
        made.append(row(f"{mode} award / ask", f"{mode}_few", "ask", floor))
        for crowd in ("many", "most"):
            name = f"{mode} award, {CROWDS[crowd]:,} bidders / 5"
            made.append(row(name, f"{mode}_{crowd}", f"{mode}_few", GROWTH))
    return made
