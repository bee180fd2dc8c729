"""Typed state under a key, which outlives the actor and is changed without losing anything."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.actors.context import Context
from mesh.actors.definition import Agent
from mesh.actors.handler import command
from mesh.actors.supervision import Poisoned, RestartPolicy
from mesh.protocols.errors import BadResult, JournalCorrupt
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Count(msgspec.Struct):
    value: int = 0


def one_more(count: Count | None) -> Count:
    return Count((count or Count()).value + 1)


class Counter(Agent):
    restarts = RestartPolicy(first=0.1)

    @command
    async def add(self, key: str, ctx: Context) -> int:
        return (await ctx.state(key, Count).update(one_more)).value

    @command
    async def poison(self) -> None:
        raise Poisoned


async def test_state_survives_the_actor_and_its_process(neighbours: Neighbours) -> None:
    await neighbours.host(Counter, process="one")
    client = await neighbours.client()
    assert await client.ask("counter", "a", command="add") == 1
    await asyncio.gather(client.ask("counter", command="poison"), return_exceptions=True)
    assert await client.ask("counter", "a", command="add") == 2
    await neighbours.stop("one")
    await neighbours.host(Counter, process="two")
    assert await client.ask("counter", "a", command="add") == 3
    neighbours.server.restart()
    await asyncio.sleep(5)
    assert await client.ask("counter", "a", command="add") == 4


async def test_keys_and_agents_are_apart_whatever_the_key_is(neighbours: Neighbours) -> None:
    await neighbours.host(Counter)
    client = await neighbours.client()
    for key in ("a", "A", "a.b", "*", ">", "", "ä b/c\n"):
        assert await client.ask("counter", {"key": key}, command="add") == 1
    assert await client.state("other", "a", Count).get() is None


async def test_instances_change_it_without_losing_anything(neighbours: Neighbours) -> None:
    await neighbours.host(Counter, process="one", capacity=4)
    await neighbours.host(Counter, process="two", capacity=4)
    client = await neighbours.client()
    results = await asyncio.gather(*(client.ask("counter", "a", command="add") for _ in range(6)))
    assert sorted(results) == [1, 2, 3, 4, 5, 6]


async def test_a_value_of_another_type_is_neither_stored_nor_read(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    with pytest.raises(BadResult):
        await client.state("a", "k", Count).put("no")  # type: ignore[arg-type]
    await client.state("a", "k", str).put("text")
    with pytest.raises(JournalCorrupt):
        await client.state("a", "k", Count).get()
    await client.state("a", "k", str).delete()
    assert await client.state("a", "k", Count).get() is None
