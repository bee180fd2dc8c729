"""Guarded appends against `js.publish` of nats-py with the same header: 64 writers at once, each on a subject of its own, 1 KiB.

Each writer says which sequence its subject must have, as a journal does, and goes on from the sequence it is told. The promise
is for a stream in memory: there the processor is the bound. On a file stream where every write is fsynced the disk is the
bound for both sides; that row is for information.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import nats
from nats.js import JetStreamContext

from mesh.protocols.ports import Store, StreamSpec
from mesh.settings.target import ServerTarget
from mesh.transport.connection import connect
from tests.benchmarks.ground import PAYLOAD, Ground, Sample
from tests.benchmarks.rounds import AT_ONCE, ratio_row
from tests.benchmarks.rows import Row, Target

DATA = b"x" * PAYLOAD
MEMORY = Target(
    name="guarded append, 64 in flight, memory stream: appends a second / js.publish",
    floor=1.3,
    aim=2.0,
    better="higher",
)
FILE = Target(name="guarded append, 64 in flight, fsynced file stream / js.publish", better="higher")
ALONE = Target(name="guarded append, 1 in flight, memory stream: median time / js.publish")

Append = Callable[[str, int], Awaitable[int]]
"""Store at this subject, behind this sequence; the new one."""


async def bench(ground: Ground) -> list[Row]:
    """In memory, on disk, and one by one."""
    raw = await nats.connect(ground.url)
    async with await connect(ServerTarget(url=ground.url), name="appends") as ours:
        rows = [
            await _crowd(ground, raw.jetstream(), ours.store, "memory", MEMORY, ground.pick(30, 200)),
            await _crowd(ground, raw.jetstream(), ours.store, "file", FILE, ground.pick(5, 60)),
            await _alone(ground, raw.jetstream(), ours.store, ground.pick(150, 1500)),
        ]
    await raw.close()
    return rows


async def _crowd(
    ground: Ground, raw: JetStreamContext, store: Store, storage: Literal["memory", "file"], target: Target, turns: int
) -> Row:
    name = f"crowd-{storage}"
    await store.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",), storage=storage, max_bytes=64 * 1024**2))
    found = await ground.take_turns(
        ground.pick(3, 11),
        raw=lambda: _at_once(ground, name, _published(raw), turns),
        ours=lambda: _at_once(ground, name, _appended(store), turns),
    )
    return ratio_row(target, found["ours"], found["raw"], f"raw {found['raw'].median:,.0f}/s")


async def _alone(ground: Ground, raw: JetStreamContext, store: Store, turns: int) -> Row:
    name = "alone"
    await store.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",), storage="memory", max_bytes=64 * 1024**2))
    found = await ground.take_turns(
        ground.pick(4, 11),
        raw=lambda: _one_by_one(ground, name, _published(raw), turns),
        ours=lambda: _one_by_one(ground, name, _appended(store), turns),
    )
    return ratio_row(ALONE, found["ours"], found["raw"], f"raw {found['raw'].median * 1e6:.0f} µs")


def _published(raw: JetStreamContext) -> Append:
    async def append(subject: str, last: int) -> int:
        ack = await raw.publish(subject, DATA, timeout=10.0, headers={"Nats-Expected-Last-Subject-Sequence": str(last)})
        return ack.seq

    return append


def _appended(store: Store) -> Append:
    async def append(subject: str, last: int) -> int:
        return (await store.append(subject, DATA, expected=last, timeout=10.0)).sequence

    return append


async def _at_once(ground: Ground, stream: str, append: Append, turns: int) -> Sample:
    """Appends a second with 64 writers."""

    async def write(subject: str) -> None:
        last = 0
        for _ in range(turns):
            last = await append(subject, last)

    subjects = _fresh_subjects(ground, stream, AT_ONCE)
    meter, started = ground.meter(), time.perf_counter()
    await asyncio.gather(*(write(subject) for subject in subjects))
    return meter.sample(AT_ONCE * turns / (time.perf_counter() - started), AT_ONCE * turns)


async def _one_by_one(ground: Ground, stream: str, append: Append, turns: int) -> Sample:
    """Seconds an append takes with no other in flight."""
    (subject,) = _fresh_subjects(ground, stream, 1)
    last = 0
    meter, started = ground.meter(), time.perf_counter()
    for _ in range(turns):
        last = await append(subject, last)
    return meter.sample((time.perf_counter() - started) / turns, turns)


def _fresh_subjects(ground: Ground, stream: str, count: int) -> list[str]:
    return [f"{stream}.{ground.random.getrandbits(48):x}" for _ in range(count)]
