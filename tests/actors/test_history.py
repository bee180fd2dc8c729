"""What was said in a conversation: bounded by turns and bytes, durable, and never mixed with another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command
from mesh.actors.exchanging.lineage import Lineage
from mesh.actors.keeping.history import History
from mesh.actors.keeping.history_turns import Turn
from mesh.actors.keeping.state_declared import histories
from mesh.actors.peer import Peer
from mesh.actors.running.context import Context
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import Sender
from mesh.protocols.errors import BadPayload, Refused, TooLarge
from mesh.protocols.ports import Bucket, BucketSpec
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Friend(Agent, capacity=4):
    history = histories(turns=4)

    @command
    async def chat(self, text: str) -> list[str]:
        history = self.history()
        await history.add("user", text)
        await history.add("assistant", f"{text}!", usage=Usage(tokens_out=2))
        return [each.content for each in await history.turns()]

    @command
    async def recall(self, conversation: str) -> list[str]:
        return [each.content for each in await self.history(conversation).turns()]


def texts(turns: Sequence[Turn]) -> list[Any]:
    return [each.content for each in turns]


def of(client: Peer, conversation: str = "c", **bounds: Any) -> History:
    return histories(**bounds).kept(client.keeping, "friend")(conversation)


def named(conversation: str) -> Lineage:
    return Lineage(sender=Sender("client", "client", "client"), ext={"conversation": conversation})


async def test_a_conversation_goes_on_under_the_name_its_sender_gave_it(neighbours: Neighbours) -> None:
    await neighbours.host(Friend)
    client = await neighbours.client()

    def chat(text: str, conversation: str) -> Any:
        return client.ask("friend", text, command="chat", lineage=named(conversation))

    assert await chat("a", "one") == ["a", "a!"]
    assert await chat("b", "two") == ["b", "b!"]
    await neighbours.stop("host")
    await neighbours.host(Friend, process="other")
    neighbours.server.restart()
    await until(lambda: client.bus.connected)
    await asyncio.sleep(5)
    assert await chat("c", "one") == ["a", "a!", "c", "c!"]
    assert await chat("d", "one") == ["c", "c!", "d", "d!"]
    assert await client.ask("friend", "two", command="recall") == ["b", "b!"]


async def test_without_a_name_the_correlation_is_the_conversation(neighbours: Neighbours) -> None:
    @agent(name="front")
    async def front(text: str, ctx: Context) -> list[str]:
        await ctx.ask("friend", text, command="chat")
        await ctx.history().add("user", text)
        return list(await ctx.ask("friend", ctx.correlation, command="recall"))

    await neighbours.host(Friend)
    await neighbours.host(front, process="front")
    client = await neighbours.client()
    assert await client.ask("front", "a") == ["a", "a!"]
    assert await client.ask("front", "b") == ["b", "b!"]


async def test_a_turn_has_its_role_time_and_usage(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    history = of(client)
    now = neighbours.clock.now()
    await history.add("tool", {"found": [1, 2]}, usage=Usage(tokens_in=7, money=0.01))
    (turn,) = await history.turns()
    assert (turn.role, turn.content, turn.usage) == ("tool", {"found": [1, 2]}, Usage(tokens_in=7, money=0.01))
    assert 0 <= turn.at - now < 1
    with pytest.raises(BadPayload, match="role"):
        await history.add("robot", "text")  # type: ignore[arg-type]
    with pytest.raises(BadPayload):
        await history.add("user", object())
    assert len(await history.turns()) == 1


async def test_what_is_above_the_bounds_falls_off_the_oldest_end(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    few, small = of(client, turns=3), of(client, "d", size=1024)
    for number in range(5):
        await few.add("user", number)
        await small.add("user", str(number) * 300)
    assert texts(await few.turns()) == [2, 3, 4]
    assert await few.fallen() == 2
    assert [each[0] for each in texts(await small.turns())] == ["3", "4"]
    with pytest.raises(TooLarge, match="this history keeps 1024"):
        await small.add("user", "x" * 1024)
    await few.clear()
    await few.clear()
    assert (await few.turns(), await few.fallen()) == ([], 0)


async def test_what_falls_may_be_summed_up_and_stays_as_the_first_turn(neighbours: Neighbours) -> None:
    asked: list[list[Any]] = []

    async def shorten(turns: Sequence[Turn]) -> str:
        asked.append(texts(turns))
        return "+".join(str(each) for each in texts(turns))

    history = of(await neighbours.client(), turns=6, summarise=shorten)
    for number in range(1, 11):
        await history.add("user", number)
    assert asked == [[1, 2, 3, 4], ["1+2+3+4", 5, 6, 7]]
    turns = await history.turns()
    assert texts(turns) == ["1+2+3+4+5+6+7", 8, 9, 10]
    assert turns[0].role == "system"


async def test_a_summary_that_fails_loses_nothing(neighbours: Neighbours) -> None:
    def fail(turns: Sequence[Turn]) -> str:
        raise RuntimeError("no model")

    client = await neighbours.client()
    history = of(client, turns=2, summarise=fail)
    await history.add("user", 1)
    await history.add("user", 2)
    with pytest.raises(RuntimeError, match="no model"):
        await history.add("user", 3)
    assert texts(await of(client, turns=2).turns()) == [1, 2]


async def test_the_same_turn_added_again_stands_there_once(neighbours: Neighbours) -> None:
    history = of(await neighbours.client())
    first = await history.add("user", "a", key="m1")
    await asyncio.sleep(1)
    assert await history.add("user", "a", key="m1") == first
    assert texts(await history.turns()) == ["a"]


async def test_instances_add_at_once_without_losing_a_turn(neighbours: Neighbours) -> None:
    one, two = await neighbours.peer("one"), await neighbours.peer("two")
    await asyncio.gather(*(of(peer).add("user", number) for number in range(8) for peer in (one, two)))
    assert sorted(texts(await of(one).turns())) == sorted([*range(8), *range(8)])


async def test_tenants_do_not_see_each_others_conversations(neighbours: Neighbours) -> None:
    both = (await neighbours.client()).histories("friend")
    await both("c", tenant="acme").add("user", "secret")
    assert await both("c", tenant="globex").turns() == []


async def test_outside_of_a_handler_a_conversation_has_to_be_named(neighbours: Neighbours) -> None:
    with pytest.raises(Refused, match="give its id"):
        (await neighbours.client()).histories("friend")()


def test_bounds_that_nothing_fits_in_are_refused_where_the_class_is_made() -> None:
    for bounds in ({"turns": 1}, {"size": 10}, {"size": 2_000_000}):
        with pytest.raises(TypeError, match="at least 2 turns"):
            histories(**bounds)


async def test_an_agent_that_asks_for_none_of_it_opens_no_bucket(neighbours: Neighbours) -> None:
    class Plain(Agent):
        @command
        async def hello(self) -> str:
            return "hello"

    await neighbours.host(Plain)
    client = await neighbours.client()
    assert await client.ask("plain", command="hello") == "hello"
    host = await neighbours.peer("host")
    bucket = host.store.bucket
    opened: list[str] = []

    async def remembered(spec: BucketSpec) -> Bucket:
        opened.append(spec.name)
        return await bucket(spec)

    host.store.bucket = remembered  # type: ignore[method-assign]
    await client.ask("plain", command="hello")
    assert opened == []
    await host.state("plain", str).get("k")
    assert opened == ["mesh_default_state"]
