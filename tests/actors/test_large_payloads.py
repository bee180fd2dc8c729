"""Payloads above 64 KiB travel by reference, and nobody notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.events.events import Event
from mesh.actors.events.hearing import FETCHES
from mesh.actors.running.context import Context
from mesh.protocols.envelope import Envelope, decode
from mesh.protocols.references import LIMIT
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual
BIG = "ä" * 2_000_000


class Big(Agent):
    @command
    async def echo(self, value: Any) -> Any:
        return value

    @command
    async def stream(self) -> AsyncIterator[str]:
        yield "small"
        yield BIG
        yield "small"

    @command
    async def emit(self, ctx: Context) -> None:
        await ctx.emit("big", BIG)

    @command
    async def keep(self, text: str, ctx: Context) -> str:
        objects = await ctx.objects()
        digest = await objects.put(text.encode())
        return (await objects.get(digest)).decode()


@pytest.mark.parametrize("size", [10, LIMIT - 500, LIMIT - 10, LIMIT, LIMIT + 10, 3_000_000])
async def test_any_size_goes_there_and_back(neighbours: Neighbours, size: int) -> None:
    await neighbours.host(Big)
    assert await (await neighbours.client()).ask("big", "x" * size, command="echo") == "x" * size


async def test_the_message_itself_stays_small(neighbours: Neighbours) -> None:
    await neighbours.host(Big)
    client = await neighbours.client()
    sizes: list[int] = []
    await neighbours.server.connect("ear").bus.subscribe(
        "mesh.default.r*.>".replace("r*", "rpc"), lambda message: sizes.append(len(message.data))
    )
    await client.ask("big", BIG, command="echo")
    assert max(sizes) < 2000


async def test_what_looks_like_a_reference_in_a_payload_is_data(neighbours: Neighbours) -> None:
    await neighbours.host(Big)
    value = {"$ref": "sha256:00", "ref": {"digest": "x", "size": 1}}
    assert await (await neighbours.client()).ask("big", value, command="echo") == value


async def test_streamed_items_keep_their_order(neighbours: Neighbours) -> None:
    await neighbours.host(Big)
    client = await neighbours.client()
    assert [item async for item in client.stream("big", command="stream")] == ["small", BIG, "small"]


async def test_events_too(neighbours: Neighbours) -> None:
    await neighbours.host(Big)
    client = await neighbours.client()
    heard: list[Event] = []
    await client.events.subscribe(heard.append)
    await client.ask("big", command="emit")
    await until(lambda: bool(heard))
    assert heard[0].payload == BIG
    stored = await client.store.last(client.events.stream, client.subjects.event("default", "big", "big"))
    assert stored is not None
    assert decode(stored.data).ref is not None
    async for event in client.events.follow(after=0):
        assert event.payload == BIG
        break


async def test_many_at_once(neighbours: Neighbours) -> None:
    await neighbours.host(Big, capacity=8)
    client = await neighbours.client()
    values = [chr(97 + number) * 100_000 for number in range(20)]
    assert await asyncio.gather(*(client.ask("big", value, command="echo") for value in values)) == values


async def test_handlers_keep_objects_themselves(neighbours: Neighbours) -> None:
    await neighbours.host(Big)
    assert await (await neighbours.client()).ask("big", "keep me", command="keep") == "keep me"


async def test_a_burst_of_large_events_is_fetched_a_few_at_a_time_and_none_is_lost(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, other = await neighbours.client(), await neighbours.peer("other")
    heard: list[Event] = []
    await client.events.subscribe(heard.append)
    at_once, most, whole = [0], [0], client.payloads.whole

    async def counted(envelope: Envelope) -> Envelope:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        await asyncio.sleep(0.1)
        at_once[0] -= 1
        return await whole(envelope)

    monkeypatch.setattr(client.payloads, "whole", counted)
    text = "x" * LIMIT
    await asyncio.gather(*(other.emit("burst", f"{number} {text}") for number in range(100)))
    await until(lambda: len(heard) == 100)
    assert most[0] == FETCHES
