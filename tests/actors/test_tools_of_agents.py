"""Tools: what an agent calls outside is guarded by a breaker of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.actors.running.tools import tool
from mesh.protocols.constraints import Usage
from mesh.protocols.errors import BadPayload, BreakerOpen, HandlerFailed, InvalidName, TimedOut
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Declined(Exception):
    """The card is no good: nothing is wrong with the bank."""


@tool("bank.refund", timeout=2.0, ignore=Declined)
async def refund(ctx: Context, amount: int, *, seconds: float = 0.0) -> int:
    await asyncio.sleep(seconds)
    if amount < 0:
        raise Declined("less than nothing")
    return amount


class Cashier(Agent):
    name = "cashier"
    calls = 0

    @command
    async def charge(self, ctx: Context, how: str) -> str:
        async with ctx.tool("bank.charge", timeout=2.0, ignore=lambda error: "mistake" in str(error)) as bank:
            self.calls += 1
            bank.use(money=0.01)
            if how == "slow":
                await asyncio.sleep(5)
            elif how != "well":
                raise (Declined if how == "mistake" else ConnectionError)(how)
        return "charged"

    @command
    async def refund(self, ctx: Context, amount: int, seconds: float = 0.0) -> int:
        return await refund(ctx, amount, seconds=seconds)

    @command
    async def misname(self, ctx: Context) -> None:
        ctx.tool("No Such Name")


async def charge(neighbours: Neighbours, how: str, **options: Any) -> str:
    client = await neighbours.client()
    result: str = await client.ask("cashier", how, command="charge", **options)
    return result


@pytest.fixture
async def cashier(neighbours: Neighbours) -> Cashier:
    actor = await neighbours.host(Cashier, process="till")
    assert isinstance(actor.target, Cashier)
    return actor.target


async def test_a_tool_that_keeps_failing_is_not_called_any_more(neighbours: Neighbours, cashier: Cashier) -> None:
    for _ in range(3):
        with pytest.raises(HandlerFailed, match="broken"):
            await charge(neighbours, "broken")
    (await neighbours.client()).breakers.reset("till.cashier.till", "charge")
    with pytest.raises(BreakerOpen, match=r"tool bank.charge not called") as refused:
        await charge(neighbours, "well")
    assert refused.value.detail["kind"] == "tool"
    assert cashier.calls == 3
    peer = await neighbours.peer("till")
    (row,) = peer.tools.breakers.rows()
    assert (row.kind, row.target, row.capability, row.state) == ("tool", "cashier", "bank.charge", "open")
    assert peer.votes.cast() == (), "a bank is no agent: nobody else is told to keep away from it"


async def test_it_is_tried_again_and_closes(neighbours: Neighbours, cashier: Cashier) -> None:
    for _ in range(3):
        with pytest.raises(HandlerFailed):
            await charge(neighbours, "broken")
    await asyncio.sleep(2)
    client = await neighbours.client()
    client.breakers.reset("till.cashier.till", "charge")
    for _ in range(3):
        assert await charge(neighbours, "well") == "charged"
    assert (await neighbours.peer("till")).tools.breakers.rows()[0].state == "closed"


async def test_the_callers_own_mistakes_do_not_count(neighbours: Neighbours, cashier: Cashier) -> None:
    client = await neighbours.client()
    for _ in range(10):
        with pytest.raises(HandlerFailed, match="mistake"):
            await charge(neighbours, "mistake")
        with pytest.raises(HandlerFailed, match="less than nothing"):
            await client.ask("cashier", {"amount": -1}, command="refund")
        client.breakers.reset("till.cashier.till", "charge")
        client.breakers.reset("till.cashier.till", "refund")
    peer = await neighbours.peer("till")
    assert [(row.state, row.calls) for row in peer.tools.breakers.rows()] == [("closed", 0), ("closed", 0)]


async def test_a_call_that_takes_too_long_is_ended_and_counts(neighbours: Neighbours, cashier: Cashier) -> None:
    client = await neighbours.client()
    for _ in range(3):
        with pytest.raises(TimedOut, match=r"tool bank.refund took longer than 2 s"):
            await client.ask("cashier", {"amount": 1, "seconds": 60.0}, command="refund")
        client.breakers.reset("till.cashier.till", "refund")
    peer = await neighbours.peer("till")
    assert [row.state for row in peer.tools.breakers.rows()] == ["open"]


async def test_one_that_hangs_until_the_handlers_deadline_had_its_time(
    neighbours: Neighbours, cashier: Cashier
) -> None:
    client = await neighbours.client()
    for _ in range(3):
        with pytest.raises(Exception):  # noqa: B017,PT011 - who tells first, the handler's deadline or the caller's, is no matter
            await client.ask("cashier", {"amount": 1, "seconds": 60.0}, command="refund", timeout=1.9)
        client.breakers.reset("till.cashier.till", "refund")
    await asyncio.sleep(1)
    peer = await neighbours.peer("till")
    assert [row.state for row in peer.tools.breakers.rows()] == ["open"]


async def test_each_call_is_used_and_told(neighbours: Neighbours, cashier: Cashier) -> None:
    used: list[Usage] = []
    await charge(neighbours, "well", on_usage=used.append)
    assert [(each.tool_calls, each.money) for each in used] == [(1, 0.01)]
    (told,) = neighbours.told("tool.called")
    assert (told["tool"], told["agent"], told["outcome"], told["error"]) == ("bank.charge", "cashier", "success", "")


async def test_a_tool_has_a_name_like_a_capability(neighbours: Neighbours, cashier: Cashier) -> None:
    client = await neighbours.client()
    with pytest.raises((InvalidName, BadPayload), match="No Such Name"):
        await client.ask("cashier", None, command="misname")
    with pytest.raises(InvalidName):
        tool("No Such Name")
