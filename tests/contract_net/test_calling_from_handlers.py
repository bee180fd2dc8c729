"""Subcontracts, streams and what travels down a chain of calls."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from mesh.actors.declaring.definition import agent
from mesh.actors.running.context import Context
from mesh.protocols.constraints import Budget, Constraints, Usage
from mesh.protocols.errors import CallCycle, HandlerFailed, Refused, TooManyHops
from tests.contract_net.market_place import MarketPlace

pytestmark = pytest.mark.virtual


class Seen(msgspec.Struct):
    correlation: str
    tenant: str
    chain: list[str]
    remaining: float
    money: float | None


@agent(capability="look", effect="pure")
async def look(ctx: Context, what: str) -> Seen:
    ctx.use(money=0.02)
    message = ctx.message
    return Seen(
        message.correlation, ctx.tenant, list(message.chain), ctx.deadline.remaining(), ctx.constraints.budget.money
    )


@agent(capability="delegate", timeout=3.0)
async def delegate(ctx: Context, what: str) -> Seen:
    ctx.use(money=0.03)
    seen: Seen = await ctx.call("look", what, returns=Seen, timeout=60.0)
    return seen


async def test_a_subcontract_carries_correlation_tenant_chain_and_only_narrows(place: MarketPlace) -> None:
    await place.host(look, process="a")
    await place.host(delegate, process="b")
    constraints = Constraints(budget=Budget(money=1.0))
    contracted = await place.contract(
        "x", capability="delegate", constraints=constraints, tenant="acme", correlation="c1", timeout=3.0
    )
    seen = msgspec.json.decode(contracted.content, type=Seen)
    assert (seen.correlation, seen.tenant, seen.chain) == ("c1", "acme", ["delegate"])
    assert seen.remaining <= 3.0
    assert seen.money == pytest.approx(0.95), "the budget is less what was used before and within"
    assert contracted.usage.money == pytest.approx(0.05), "what a subcontract used is part of the whole"
    assert isinstance(contracted.usage, Usage)


async def test_a_subcontract_may_not_widen_what_was_inherited(place: MarketPlace) -> None:
    @agent(capability="widen")
    async def widen(ctx: Context, what: str) -> None:
        await ctx.call("look", what, constraints=Constraints(boundary="public"))

    await place.host(look, process="a")
    await place.host(widen, process="b", labels={"boundary": "internal"})
    with pytest.raises(Refused, match="boundary"):
        await place.contract("x", capability="widen", constraints=Constraints(boundary="internal"))


async def test_a_chain_that_comes_back_to_a_waiting_agent_is_a_cycle(place: MarketPlace) -> None:
    @agent(capability="ping")
    async def ping(ctx: Context, what: str) -> str:
        return str(await ctx.call("pong", what))

    @agent(capability="pong")
    async def pong(ctx: Context, what: str) -> str:
        return str(await ctx.call("ping", what))

    await place.host(ping, process="a")
    await place.host(pong, process="b")
    at = place.clock.monotonic()
    with pytest.raises(CallCycle, match="ping → pong → ping"):
        await place.contract("x", capability="ping")
    assert place.clock.monotonic() - at < 0.5


async def test_a_chain_of_more_than_eight_agents_is_refused(place: MarketPlace) -> None:
    def link(number: int) -> object:
        @agent(name=f"link-{number}", capability=f"link-{number}", timeout=20.0)
        async def linked(ctx: Context, what: str) -> str:
            return str(await ctx.call(f"link-{number + 1}", what))

        return linked

    for number in range(11):
        await place.host(link(number), process="a")
    with pytest.raises(TooManyHops):
        await place.contract("x", capability="link-0", timeout=20.0)


async def test_the_error_of_a_subcontract_arrives_as_its_own_type(place: MarketPlace) -> None:
    @agent(capability="fail")
    async def fail(what: str) -> None:
        raise ValueError(what)

    @agent(capability="pass-on")
    async def pass_on(ctx: Context, what: str) -> None:
        await ctx.call("fail", what)

    await place.host(fail, process="a")
    await place.host(pass_on, process="b")
    with pytest.raises(HandlerFailed, match="raised ValueError: x"):
        await place.contract("x", capability="pass-on")


async def test_a_use_that_cannot_be_told_fails_where_it_is_reported(place: MarketPlace) -> None:
    """And not as an answer that whoever waits cannot read."""

    @agent(capability="priced")
    async def priced(ctx: Context, price: str) -> str:
        ctx.use(tokens_in=len(price) / 2, money=float(price))  # type: ignore[arg-type]
        return price

    await place.host(priced, process="a")
    assert (await place.contract("0.50", capability="priced")).usage.tokens_in == 2
    with pytest.raises(HandlerFailed, match="ValueError: money"):
        await place.contract("nan", capability="priced")


@agent(capability="count", timeout=5.0)
async def count(ctx: Context, upto: int) -> AsyncIterator[int]:
    ctx.progress({"of": upto})
    for number in range(upto):
        yield number


async def test_a_streaming_handler_sends_its_items_before_its_result(place: MarketPlace) -> None:
    await place.host(count, process="a")
    caller = await place.caller()
    items: list[bytes] = []
    progress: list[object] = []
    contracted = await caller.contract(
        place.call("count", 3), on_item=lambda each: items.append(bytes(each)), on_progress=progress.append
    )
    assert items == [b"0", b"1", b"2"]
    assert progress == [{"of": 3}]
    assert msgspec.json.decode(contracted.content) == [0, 1, 2]
    assert place.seen == ["accept-proposal", "count", "count", "count", "inform-result"]


async def test_a_large_input_and_a_large_result_travel_by_reference(place: MarketPlace) -> None:
    @agent(capability="big", timeout=5.0)
    async def big(text: str) -> str:
        return text * 2

    await place.host(big, process="a")
    for mode in ("standing", "broadcast"):
        contracted = await place.contract("x" * 200_000, capability="big", mode=mode)
        assert len(msgspec.json.decode(contracted.content)) == 400_000
