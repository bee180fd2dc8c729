"""Streamed replies: items in order, then the end; what is lost or cut off is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.protocols.constraints import Usage
from mesh.protocols.errors import BadResult, DeadlineExceeded, HandlerFailed, MeshError, NoResponders, TimedOut
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Streamer(Agent):
    def __init__(self) -> None:
        self.closed = 0

    @command(timeout=10)
    async def count(self, to: int, pause: float = 0.0, ctx: Context | None = None) -> AsyncIterator[int]:
        try:
            for number in range(to):
                yield number
                await asyncio.sleep(pause)
        finally:
            self.closed += 1

    @command
    async def break_down(self) -> AsyncIterator[int]:
        yield 1
        raise ValueError("enough")

    @command
    async def lie(self) -> AsyncIterator[int]:
        yield 1
        yield "two"  # type: ignore[misc]

    @command
    async def report(self, ctx: Context) -> AsyncIterator[str]:
        ctx.progress({"at": 1})
        ctx.use(tokens_out=3)
        yield "done"


async def collected(stream: AsyncIterator[Any]) -> tuple[list[Any], MeshError | None]:
    items = []
    try:
        async for item in stream:
            items.append(item)  # noqa: PERF401 - what came before an error counts
    except MeshError as error:
        return items, error
    return items, None


async def test_items_arrive_in_order_and_then_the_stream_ends(neighbours: Neighbours) -> None:
    await neighbours.host(Streamer)
    client = await neighbours.client()
    assert await collected(client.stream("streamer", {"to": 100}, command="count")) == (list(range(100)), None)


async def test_items_arrive_while_the_handler_still_works(neighbours: Neighbours) -> None:
    await neighbours.host(Streamer)
    client = await neighbours.client()
    began, at = neighbours.clock.monotonic(), []
    async for _ in client.stream("streamer", {"to": 3, "pause": 1.0}, command="count"):
        at.append(round(neighbours.clock.monotonic() - began))  # noqa: PERF401
    assert at == [0, 1, 2]


async def test_an_exception_comes_after_the_items_before_it(neighbours: Neighbours) -> None:
    await neighbours.host(Streamer)
    client = await neighbours.client()
    items, error = await collected(client.stream("streamer", command="break_down"))
    assert items == [1]
    assert isinstance(error, HandlerFailed)


async def test_a_bad_item_never_leaves(neighbours: Neighbours) -> None:
    await neighbours.host(Streamer)
    client = await neighbours.client()
    items, error = await collected(client.stream("streamer", command="lie"))
    assert items == [1]
    assert isinstance(error, BadResult)


async def test_progress_and_usage_come_along(neighbours: Neighbours) -> None:
    await neighbours.host(Streamer)
    client = await neighbours.client()
    seen: list[Any] = []
    used: list[Usage] = []
    stream = client.stream("streamer", command="report", on_progress=seen.append, on_usage=used.append)
    assert await collected(stream) == (["done"], None)
    assert seen == [{"at": 1}]
    assert used[0].tokens_out == 3


async def test_leaving_a_stream_early_stops_the_handler(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Streamer)
    client = await neighbours.client()
    stream = client.stream("streamer", {"to": 1000, "pause": 0.1}, command="count")
    async for number in stream:
        if number == 3:
            break
    await stream.aclose()  # type: ignore[attr-defined]
    await until(lambda: actor.target.closed == 1 and actor.running == 0, timeout=1.0)


async def test_a_stream_ends_at_its_deadline(neighbours: Neighbours) -> None:
    await neighbours.host(Streamer)
    client = await neighbours.client()
    items, error = await collected(client.stream("streamer", {"to": 100, "pause": 1.0}, command="count", timeout=2.5))
    assert items == [0, 1, 2]
    assert isinstance(error, DeadlineExceeded)


async def test_silence_in_a_stream_ends_it(neighbours: Neighbours) -> None:
    await neighbours.host(Streamer)
    client = await neighbours.client()
    stream = client.stream("streamer", {"to": 3, "pause": 5.0}, command="count", inactivity=1.0)
    items, error = await collected(stream)
    assert items == [0]
    assert isinstance(error, TimedOut)


async def test_a_lost_item_is_noticed(neighbours: Neighbours) -> None:
    await neighbours.host(Streamer)
    client = await neighbours.client()
    neighbours.server.faults.drop(client.subjects.reply_inbox("client"), times=1)
    items, error = await collected(client.stream("streamer", {"to": 3}, command="count"))
    assert items == []
    assert isinstance(error, TimedOut)
    assert "item 0 of streamer was lost" in str(error)


async def test_asking_a_stream_waits_for_its_end(neighbours: Neighbours) -> None:
    await neighbours.host(Streamer)
    assert await (await neighbours.client()).ask("streamer", {"to": 3}, command="count") is None


async def test_streaming_from_nobody_is_known_at_once(neighbours: Neighbours) -> None:
    await neighbours.host(Streamer)
    client = await neighbours.client()
    listing = client.directory.instances("streamer")[0]
    await (await neighbours.peer("host")).stop()
    _, error = await collected(client.stream(listing, {"to": 3}, command="count"))
    assert isinstance(error, NoResponders)
