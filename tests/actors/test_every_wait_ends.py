"""Every wait of a caller ends with its deadline, whatever hangs; and what is left of the time goes along with the message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.peer import Peer
from mesh.actors.running.context import Context
from mesh.protocols.errors import DeadlineExceeded, MeshError
from mesh.resilience.deadline import Deadline
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual
LARGE = "x" * 2_000_000


class Slow(Agent, capacity=8):
    """Takes its time over everything; `left` is what it was given."""

    def __init__(self) -> None:
        self.left: list[float] = []

    @command
    async def think(self, text: str, ctx: Context) -> None:
        self.left.append(ctx.deadline.remaining())
        await asyncio.sleep(3600.0)

    @command
    async def count(self, text: str) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(3600.0)

    @command
    async def write(self, text: str) -> str:
        return LARGE

    @command
    async def note(self, text: str, ctx: Context) -> float:
        return ctx.deadline.remaining()


async def ask(client: Peer) -> None:
    await client.ask("slow", "x", command="think", timeout=2.0)


async def ask_with_much(client: Peer) -> None:
    client.payloads.by_reference = hang  # type: ignore[method-assign]
    await client.ask("slow", LARGE, command="think", timeout=2.0)


async def ask_for_much(client: Peer) -> None:
    client.payloads.whole = hang  # type: ignore[method-assign]
    await client.ask("slow", "x", command="write", timeout=2.0)


async def stream(client: Peer) -> None:
    async for _ in client.stream("slow", "x", command="count", timeout=2.0):
        pass


async def tell_much(client: Peer) -> None:
    client.payloads.by_reference = hang  # type: ignore[method-assign]
    await client.tell("slow", LARGE, command="think", timeout=2.0)


async def hang(*_: Any) -> Any:
    await asyncio.sleep(3600.0)


@pytest.mark.parametrize("way", [ask, ask_with_much, ask_for_much, stream, tell_much], ids=lambda way: way.__name__)
async def test_whoever_waits_hears_of_the_deadline(
    neighbours: Neighbours, way: Callable[[Peer], Coroutine[Any, Any, None]]
) -> None:
    await neighbours.host(Slow)
    client = await neighbours.client()
    began = neighbours.clock.monotonic()
    with pytest.raises(DeadlineExceeded):
        await way(client)
    assert neighbours.clock.monotonic() - began == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("way", ["ask", "stream"])
async def test_what_has_no_time_left_is_not_sent(neighbours: Neighbours, way: str) -> None:
    slow = await neighbours.host(Slow)
    client = await neighbours.client()
    if way == "ask":
        sent: Any = client.ask("slow", "x", command="think", timeout=0.0)
    else:
        sent = anext(client.stream("slow", "x", command="count", timeout=0.0))
    with pytest.raises(DeadlineExceeded):
        await sent
    assert slow.tally.whole.handled == 0


@pytest.mark.parametrize("way", [ask, stream], ids=lambda way: way.__name__)
async def test_what_was_asked_while_the_server_was_away_is_not_begun_for_nobody(
    neighbours: Neighbours, way: Callable[[Peer], Coroutine[Any, Any, None]]
) -> None:
    slow = await neighbours.host(Slow)
    client = await neighbours.client()
    neighbours.server.cut("client")
    with pytest.raises(DeadlineExceeded, match="a server in reach"):
        await way(client)
    neighbours.server.restore("client")
    assert await client.ask("slow", "x", command="note", timeout=1.0)
    assert slow.tally.whole.handled == 1


async def test_the_time_that_the_server_is_away_is_not_given_twice(neighbours: Neighbours) -> None:
    await neighbours.host(Slow)
    client = await neighbours.client()
    neighbours.server.cut("client")
    asked = asyncio.ensure_future(client.ask("slow", "x", command="note", timeout=5.0))
    await neighbours.clock.sleep(2.0)
    neighbours.server.restore("client")
    assert await asked == pytest.approx(3.0, abs=0.1)


async def test_the_time_that_a_large_payload_takes_is_not_given_twice(neighbours: Neighbours) -> None:
    await neighbours.host(Slow)
    host, client = await neighbours.peer("host"), await neighbours.client()
    for peer in (host, client):
        slowed(peer)
    left = await client.ask("slow", LARGE, command="note", timeout=5.0)
    assert left == pytest.approx(3.0, abs=0.1), "a second to store it, one to fetch it"


def slowed(peer: Peer) -> None:
    """Its object store takes a second for everything."""
    store, fetch = peer.payloads.by_reference, peer.payloads.whole

    async def by_reference(envelope: Any) -> Any:
        await asyncio.sleep(1.0)
        return await store(envelope)

    async def whole(envelope: Any) -> Any:
        if envelope.ref is not None:
            await asyncio.sleep(1.0)
        return await fetch(envelope)

    peer.payloads.by_reference = by_reference  # type: ignore[method-assign]
    peer.payloads.whole = whole  # type: ignore[method-assign]


async def test_a_payload_that_comes_too_late_is_dropped_and_counted(neighbours: Neighbours) -> None:
    slow = await neighbours.host(Slow)
    host, client = await neighbours.peer("host"), await neighbours.client()
    host.payloads.whole = hang  # type: ignore[method-assign]
    with pytest.raises(MeshError):
        await client.ask("slow", LARGE, command="think", timeout=2.0)
    await until(lambda: host.counts["expired"] == 1)
    assert slow.target.left == []


async def test_how_much_was_dropped_can_be_asked_of_a_process(neighbours: Neighbours) -> None:
    await neighbours.host(Slow, capacity=1)
    client = await neighbours.client()
    asks = [client.ask("slow", "x", command="think", timeout=seconds) for seconds in (3.0, 1.0, 1.0)]
    await asyncio.gather(*asks, return_exceptions=True)
    host = await neighbours.peer("host")
    await until(lambda: host.counts["expired"] == 2)
    probe = client.root.compose(client.ids, "control", "probe")
    subject = client.subjects.rpc("host", "slow", "host", client.process)
    answer = await client.exchange.ask(subject, probe, deadline=Deadline.after(neighbours.clock, 1.0))
    assert b'"expired":2' in bytes(answer.payload)
