"""A directory of 10,000 instances: how soon a newcomer's is complete, and what listening costs from then on.

A hundred simulated processes of a hundred instances each are there. They share a real process and a connection, and speak
the wire protocol through the mesh's own `Presence`: a lease each, renewed each second, a record an instance, and beats.
First all are idle, then the figures of a tenth of the instances change each second. A bystander counts what is said.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
import nats

from mesh.client.mesh import Mesh
from mesh.clock import SystemClock, SystemIds
from mesh.protocols.acts import Bid
from mesh.protocols.subjects import Subjects
from mesh.registry.presence import Presence
from mesh.registry.records import Capability, Figures, Instance
from mesh.settings.target import target_of
from mesh.transport.connection import connect
from tests.benchmarks.ground import Ground, there
from tests.benchmarks.other import Other
from tests.benchmarks.processor import processor_seconds
from tests.benchmarks.rows import Row, Target

PROCESSES, EACH = 100, 100
BUSY = 10
"""Instances of a process whose figures change each second, when they are not idle."""
WITHIN = 30.0
COMPLETE = Target(name="10,000 instances: a newcomer's directory complete", floor=1.0, unit="s")
IDLE = Target(name="10,000 instances, idle: share of a processor to listen", unit="%")
CHANGING = Target(name="10,000 instances, a tenth changing each second: share", unit="%")


class Heard(msgspec.Struct, frozen=True):
    """What a bystander has counted so far."""

    messages: int = 0
    size: int = 0


async def main(url: str, kind: str) -> AsyncGenerator[str, None]:
    """The crowd, or a bystander who counts."""
    async with aclosing(crowd(url) if kind == "crowd" else bystander(url)) as lines:
        async for line in lines:
            yield line


async def bystander(url: str) -> AsyncGenerator[str, None]:
    """Counts beats and renewals."""
    connection = await nats.connect(url)
    messages = size = 0

    async def count(message: nats.aio.msg.Msg) -> None:
        nonlocal messages, size
        messages += 1
        size += len(message.data)

    for subject in (Subjects().beat_all(), f"$KV.{Subjects().bucket('leases')}.>"):
        await connection.subscribe(subject, cb=count)
    await connection.flush()
    while True:
        yield msgspec.json.encode(Heard(messages, size)).decode()


async def crowd(url: str) -> AsyncGenerator[str, None]:
    """All the processes; told `busy`, figures begin to change."""
    clock = SystemClock()
    async with await connect(target_of(url, "bench"), name="crowd") as connection:
        ids = SystemIds(clock)
        members = [
            Presence(
                connection.bus, connection.store, clock, ids, Subjects(),
                process=f"p{number}", host="bench", pid=os.getpid(), lease_seconds=10,
            )
            for number in range(PROCESSES)
        ]  # fmt: skip
        await asyncio.gather(*(join(member) for member in members))
        yield ""
        changing = asyncio.create_task(change(members))
        try:
            while True:
                yield ""
        finally:
            changing.cancel()
            await asyncio.gather(*(member.stop() for member in members))


async def join(member: Presence) -> None:
    """Take the lease, list the instances, tell their figures."""
    await member.start()
    await asyncio.gather(*(member.register(record(member.process, number)) for number in range(EACH)))
    for number in range(EACH):
        member.set_figures(f"worker.i{number}", figures(0))


async def change(members: list[Presence]) -> None:
    """Let the figures of some instances change, again and again."""
    turn = 0
    while True:
        turn += 1
        for member in members:
            for number in range(BUSY):
                member.set_figures(f"worker.i{(turn * BUSY + number) % EACH}", figures(turn))
        await asyncio.sleep(1.0)


def record(process: str, number: int) -> Instance:
    """An instance, as an agent with one capability is listed."""
    work = Capability(name="bench.work", command="work", input="0" * 64, output="1" * 64, description="Do it.")
    return Instance(
        agent="worker", version="1.0.0", instance=f"i{number}", process=process, host="bench", pid=os.getpid(),
        started_at=time.time(), state="ready", capabilities=(work,), description="Somebody who works.",
    )  # fmt: skip


def figures(handled: int) -> Figures:
    """Its figures, with a standing bid."""
    bid = Bid(price=0.1, latency=0.05, success=1.0, capacity=1)
    return Figures(handled=handled, latency=0.05, bids={"bench.work": bid})


async def bench(ground: Ground) -> list[Row]:
    """Let a newcomer look, then let it listen."""
    others = await ground.other("bench_directory", "crowd")
    counter = await ground.other("bench_directory", "bystander")
    times = []
    for _ in range(ground.pick(3, 9)):
        started = time.perf_counter()
        async with Mesh.connect(ground.url, name="newcomer") as here:
            found = len(here.directory.instances())
            times.append(time.perf_counter() - started)
            if found != PROCESSES * EACH:
                raise RuntimeError(f"a directory was complete with {found} instances")
    async with Mesh.connect(ground.url, name="listener") as here:
        await there(lambda: all(each.seen_at for each in here.directory.instances()), WITHIN)
        idle, about_idle = await listened(counter, ground.pick(2, 20))
        await others.say("busy")
        changing, about_changing = await listened(counter, ground.pick(2, 10))
    for other in (others, counter):
        other.kill()  # ten thousand that leave in good order would take their time
    times.sort()
    return [
        Row(target=COMPLETE, figure=times[len(times) // 2], least=times[0], most=times[-1], rounds=len(times)),
        Row(target=IDLE, figure=idle * 100, about=about_idle),
        Row(target=CHANGING, figure=changing * 100, about=about_changing),
    ]


async def listened(counter: Other, seconds: float) -> tuple[float, str]:
    """Share of a processor that this process uses while it only listens, and what there is to hear."""
    before, used = await heard(counter), processor_seconds(os.getpid())
    await asyncio.sleep(seconds)
    share = (processor_seconds(os.getpid()) - used) / seconds
    now = await heard(counter)
    messages, size = (now.messages - before.messages) / seconds, (now.size - before.size) / seconds
    return share, f"{messages:.0f} beats and renewals a second, {size / 1000:.0f} KB/s of payload"


async def heard(counter: Other) -> Heard:
    """The bystander's count."""
    return msgspec.json.decode(await counter.say("count"), type=Heard)
