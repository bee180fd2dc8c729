"""What one message hands down to the next: correlation, deadline, budget, chain; and what must not come back."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from mesh.actors.asking.subcontract import Subcontract
from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.protocols.constraints import Budget, Constraints, Usage
from mesh.protocols.errors import CallCycle, DeadlineExceeded, NoResponders, Refused, TooManyHops, Unavailable
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


@agent
async def leaf(ctx: Context) -> dict[str, Any]:
    ctx.use(tokens_in=5, money=1.0)
    message = ctx.message
    return {
        "correlation": ctx.correlation,
        "tenant": ctx.tenant,
        "chain": list(message.chain),
        "hops": message.hops,
        "remaining": ctx.deadline.remaining(),
        "money": ctx.constraints.budget.money,
        "boundary": ctx.constraints.boundary,
    }


@agent(timeout=10)
async def branch(ctx: Context) -> list[dict[str, Any]]:
    first = await ctx.ask("leaf", timeout=1000)
    return [first, await ctx.ask("leaf", constraints=Constraints(budget=Budget(money=100.0)))]


async def test_everything_narrows_on_the_way_down(neighbours: Neighbours) -> None:
    await neighbours.host(leaf, process="one")
    await neighbours.host(branch, process="two")
    client = await neighbours.client()
    used: list[Usage] = []
    constraints = Constraints(budget=Budget(money=3.0), boundary="")
    first, second = await client.ask("branch", constraints=constraints, timeout=4.0, on_usage=used.append)
    calls = neighbours.told("agent.call")
    assert {call["correlation"] for call in calls} == {first["correlation"]}
    assert (first["chain"], first["hops"]) == (["branch"], 1)
    assert first["remaining"] <= 4.0
    assert (first["money"], second["money"]) == (2.0, 1.0)
    assert (used[0].tokens_in, used[0].money) == (10, 2.0)
    assert [call["tokens_in"] for call in calls if call["agent"] == "branch"] == [0]


async def test_a_child_cannot_widen_what_was_demanded(neighbours: Neighbours) -> None:
    @agent
    async def widen(ctx: Context) -> None:
        await ctx.ask("leaf", constraints=Constraints(boundary="us"))

    await neighbours.host(leaf, labels={"boundary": "eu"}, process="one")
    await neighbours.host(widen, labels={"boundary": "eu"}, process="two")
    with pytest.raises(Refused, match="boundary"):
        await (await neighbours.client()).ask("widen", constraints=Constraints(boundary="eu"))


async def test_a_call_back_to_one_who_waits_is_a_cycle(neighbours: Neighbours) -> None:
    class Ping(Agent):
        @command
        async def ping(self, ctx: Context) -> None:
            await ctx.ask("pong")

    class Pong(Agent):
        @command
        async def pong(self, ctx: Context) -> None:
            await ctx.ask("ping")

    await neighbours.host(Ping, process="one")
    await neighbours.host(Pong, process="two")
    began = neighbours.clock.monotonic()
    with pytest.raises(CallCycle, match="ping → pong → ping"):
        await (await neighbours.client()).ask("ping")
    assert neighbours.clock.monotonic() - began < 1.0


async def test_a_chain_has_a_longest_length(neighbours: Neighbours) -> None:
    for number in range(12):

        @agent(name=f"hop-{number}")
        async def hop(ctx: Context) -> int:
            following = int(ctx.agent.split("-")[1]) + 1
            return int(await ctx.ask(f"hop-{following}", timeout=5.0))

        await neighbours.host(hop)
    with pytest.raises(TooManyHops):
        await (await neighbours.client()).ask("hop-0")


async def test_a_told_message_may_come_back_but_not_for_ever(neighbours: Neighbours) -> None:
    class Bounce(Agent):
        seen = 0

        @command
        async def bounce(self, ctx: Context) -> None:
            type(self).seen += 1
            await ctx.tell("bounce")

    await neighbours.host(Bounce)
    client = await neighbours.client()
    await client.tell("bounce")
    await asyncio.sleep(60)
    assert Bounce.seen == 9


async def test_what_a_handlers_own_question_met_does_not_look_like_its_own_absence(neighbours: Neighbours) -> None:
    class Gateway(Agent):
        asked = 0

        @command(effect="costly")
        async def gateway(self, ctx: Context) -> None:
            type(self).asked += 1
            raise NoResponders("the far side is gone", detail={"begun": False})

    await neighbours.host(Gateway)
    with pytest.raises(NoResponders):
        await (await neighbours.client()).ask("gateway")
    assert Gateway.asked == 1


async def test_the_callers_deadline_ends_the_whole_chain(neighbours: Neighbours) -> None:
    @agent(timeout=60)
    async def sleepy() -> None:
        await asyncio.sleep(50)

    @agent(timeout=60)
    async def waiter(ctx: Context) -> None:
        await ctx.ask("sleepy", timeout=60)

    one = await neighbours.host(sleepy, process="one")
    two = await neighbours.host(waiter, process="two")
    with pytest.raises(DeadlineExceeded):
        await (await neighbours.client()).ask("waiter", timeout=1.0)
    await asyncio.sleep(0.1)
    assert one.running == two.running == 0


# -- calling by auction, through the port that the contract net fills


class Done(msgspec.Struct):
    content: msgspec.Raw
    usage: Usage
    degraded: str = ""
    output: tuple[str, str] = ("", "")


async def test_a_handler_calls_through_the_port(neighbours: Neighbours) -> None:
    @agent
    async def boss(ctx: Context) -> int:
        return await ctx.call("add.up", {"n": 1}, returns=int, mode="directed", key="k")

    actor = await neighbours.host(boss)
    wanted: list[Subcontract] = []

    async def auction(call: Subcontract) -> Done:
        wanted.append(call)
        return Done(msgspec.Raw(b"7"), Usage(money=2.0))

    actor.peer.subcontract = auction
    used: list[Usage] = []
    assert await (await neighbours.client()).ask("boss", on_usage=used.append, timeout=3.0) == 7
    (call,) = wanted
    assert (call.capability, bytes(call.input), call.mode, call.key) == ("add.up", b'{"n":1}', "directed", "k")
    assert (call.lineage.chain, call.lineage.hops, call.lineage.sender.agent) == (("boss",), 1, "boss")
    assert call.deadline.remaining() <= 3.0
    assert used[0].money == 2.0


async def test_without_a_contract_net_a_call_says_so(neighbours: Neighbours) -> None:
    with pytest.raises(Unavailable, match="contract net"):
        await (await neighbours.client()).call("anything")
