"""Somebody else's request and our `ask`, both as multiples of a raw request of nats-py, in the same rounds.

For information: none of these rows has a floor. Everybody carries 1 KiB of text there and back to a handler that returns it,
in another process unless the bench says otherwise. What cannot be imported is skipped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import msgspec
import nats

import mesh
from mesh.client.mesh import Mesh
from tests.benchmarks.ground import PAYLOAD, Ground, there
from tests.benchmarks.other import Other
from tests.benchmarks.raw import SUBJECT
from tests.benchmarks.rounds import AT_ONCE, Operation, at_once, one_by_one, ratio_row
from tests.benchmarks.rows import Row, Skipped, Target
from tests.benchmarks.series import Contender, Series

TEXT = "x" * PAYLOAD


@mesh.agent(capacity=AT_ONCE)
async def echo(text: str) -> str:
    """Give back what came."""
    return text


async def main(url: str) -> AsyncIterator[str]:
    """The process in which our echo answers."""
    async with Mesh.connect(url, name="answers") as here:
        await here.host(echo)
        yield ""


class Neighbour(NamedTuple):
    """What is measured beside us: its name, a request of it, the processes that answer it, and by what its turns are
    divided because it is slow."""

    name: str
    request: Operation
    others: Sequence[Other] = ()
    pace: int = 1


async def beside(ground: Ground, *neighbours: Neighbour) -> list[Row]:
    """Latencies at 1 in flight and throughputs at 64: theirs, and our `ask`, over raw requests."""
    raw_side, mesh_side = await ground.other("raw"), await ground.other("beside")
    raw, payload = await nats.connect(ground.url), msgspec.json.encode(TEXT)
    async with Mesh.connect(ground.url, name="asks") as here:
        await there(lambda: here.directory.instances("echo"))

        async def ask_raw() -> None:
            await raw.request(SUBJECT, payload, timeout=10.0)

        async def ask() -> None:
            await here.ask("echo", text=TEXT, returns=str)

        everyone = (*neighbours, Neighbour("ask", ask, (mesh_side,)), Neighbour("raw", ask_raw, (raw_side,)))
        one = await ground.take_turns(ground.pick(3, 9), **{each.name: _one(ground, each) for each in everyone})
        many = await ground.take_turns(ground.pick(3, 7), **{each.name: _many(ground, each) for each in everyone})
    await raw.close()
    return [
        *(_latency(name, series, one["raw"]) for name, series in one.items() if name != "raw"),
        *(_throughput(name, series, many["raw"]) for name, series in many.items() if name != "raw"),
    ]


def missing(what: str, error: ImportError) -> Skipped:
    """What to raise when a neighbour cannot be imported."""
    reason = str(error).partition(". ")[0]
    return Skipped(f"{what} cannot be imported ({reason}): .venv/bin/python -m pip install --group bench")


def _one(ground: Ground, who: Neighbour) -> Contender:
    turns = max(20, ground.pick(100, 1000) // who.pace)
    return lambda: one_by_one(ground, who.others, who.request, turns)


def _many(ground: Ground, who: Neighbour) -> Contender:
    turns = max(2, ground.pick(16, 40) // who.pace)
    return lambda: at_once(ground, who.others, who.request, turns)


def _latency(name: str, series: Series, raw: Series) -> Row:
    target = Target(name=f"{name}, 1 in flight: median time / raw request")
    return ratio_row(target, series, raw, f"{series.median * 1e6:,.0f} µs, raw {raw.median * 1e6:,.0f} µs")


def _throughput(name: str, series: Series, raw: Series) -> Row:
    target = Target(name=f"{name}, {AT_ONCE} in flight: a second / raw requests", better="higher")
    return ratio_row(target, series, raw, f"{series.median:,.0f}/s, raw {raw.median:,.0f}/s")
