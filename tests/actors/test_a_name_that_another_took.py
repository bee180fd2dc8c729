"""A process that was cut off for longer than its lease, and whose name another start has by now: it steps back."""

from __future__ import annotations

import asyncio

import pytest

from mesh.actors.declaring.definition import agent
from mesh.actors.peer import Identity, Peer
from mesh.protocols.ports import Clock, Ids
from mesh.testing.virtual_time import until
from mesh.transport.memory.server import MemoryServer

pytestmark = pytest.mark.virtual


async def test_who_lost_its_name_to_another_start_finishes_its_work_and_takes_no_more(clock: Clock, ids: Ids) -> None:
    server, handled, may = MemoryServer(clock, ids, latency=0.001), list[str](), asyncio.Event()

    @agent(name="worker")
    async def work(text: str) -> str:
        handled.append(text)
        if text == "long":
            await may.wait()
        return text

    async def peer(process: str) -> Peer:
        peer = Peer(server.connect(process), identity=Identity(process=process, pid=1), clock=clock, ids=ids)
        await peer.start()
        return peer

    client, old = await peer("client"), await peer("ann")
    await old.host(work, instance="1", capacity=8)
    await until(lambda: bool(client.directory.instances("worker")))
    long = asyncio.ensure_future(client.ask("worker", "long", timeout=60.0))
    await until(lambda: handled == ["long"])
    old.bus.lose()  # type: ignore[attr-defined]
    await clock.sleep(4)
    new = await peer("ann")
    await new.host(work, instance="1")
    old.bus.regain()  # type: ignore[attr-defined]
    await until(lambda: old.presence.superseded)
    await until(lambda: any(each.state == "ready" for each in client.directory.instances("worker")))
    await clock.sleep(0.1)
    for number in range(3):
        assert await client.ask("worker", f"{number}") == f"{number}"
    assert handled == ["long", "0", "1", "2"], "each by one of the two"
    assert old.actors
    may.set()
    await until(lambda: not old.actors)
    assert client.directory.instances("worker"), "whose records are there now is no matter of the one that went"
    long.cancel()
    await asyncio.gather(long, return_exceptions=True)
    for each in (old, new, client):
        await each.stop()
        await each.bus.close()
