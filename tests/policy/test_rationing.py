"""Rate limits where work comes in: asks, awards, tools; nothing is lost by them, and nobody is blamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.client.mesh import Mesh
from mesh.protocols.errors import MeshError, RateLimited
from mesh.protocols.policies import RateLimit
from mesh.protocols.ports import Clock, Ids
from mesh.testing.local import local_mesh
from mesh.testing.virtual_time import until
from mesh.transport.memory.server import MemoryServer
from tests.policy.policy_operator import Operator

pytestmark = pytest.mark.virtual


class Writer(Agent):
    capacity = 8

    @command(capability="text.write")
    async def write(self, ctx: Context, tokens: int) -> str:
        ctx.use(tokens_in=tokens)
        return "written"

    @command
    async def look_up(self, ctx: Context) -> str:
        async with ctx.tool("search.web") as call:
            call.use(tokens_in=1)
        return "found"


@pytest.fixture
async def pair(clock: Clock, ids: Ids) -> AsyncIterator[tuple[Operator, Mesh, Mesh]]:
    server = MemoryServer(clock, ids, latency=0.001)
    async with local_mesh(server, process="host") as host, local_mesh(server, process="client") as client:
        await host.host(Writer)
        await until(lambda: client.directory.lookup("text.write"))
        yield Operator(server, clock), host, client


async def decide(operator: Operator, limit: RateLimit, *meshes: Mesh) -> None:
    revision = await operator.put(limit)
    await until(lambda: all(each.peer.policy.revision(limit.key) == revision for each in meshes))


async def succeeded(asks: list[Any]) -> int:
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert all(result in ("written", "found") or isinstance(result, RateLimited) for result in results), results
    return sum(isinstance(result, str) for result in results)


async def patiently(client: Mesh) -> Any:
    """Ask as those do who have time: the budget for repeated attempts is not for that."""
    while True:
        try:
            return await client.ask("writer", 1, command="write", timeout=30)
        except RateLimited as error:
            await client.peer.clock.sleep(error.retry_after or 0.0)


async def test_an_agent_takes_what_its_limit_gives_and_refuses_the_rest_with_a_time(
    pair: tuple[Operator, Mesh, Mesh],
) -> None:
    operator, host, client = pair
    await decide(operator, RateLimit(agent="writer", calls=60, burst=5), host)
    asks = [client.ask("writer", 1, command="write", timeout=0.5) for _ in range(40)]
    assert 3 <= await succeeded(asks) <= 6
    with pytest.raises(RateLimited) as raised:
        await client.ask("writer", 1, command="write", timeout=0.5)
    assert raised.value.retry_after is not None
    assert not client.peer.breakers.troubled
    assert await client.ask("writer", 1, command="write", timeout=30) == "written"


async def test_who_has_time_comes_back_when_it_was_told_to(pair: tuple[Operator, Mesh, Mesh]) -> None:
    operator, host, client = pair
    await decide(operator, RateLimit(agent="writer", calls=600, burst=5), host)
    began = client.peer.clock.monotonic()
    for _ in range(20):
        assert await patiently(client) == "written"
    assert 1.0 < client.peer.clock.monotonic() - began < 5.0


async def test_a_tenant_has_a_limit_over_all_agents_and_the_others_have_none(
    pair: tuple[Operator, Mesh, Mesh],
) -> None:
    operator, host, client = pair
    await decide(operator, RateLimit(tenant="acme", calls=60, burst=3), host)
    peer = client.peer
    acme = msgspec.structs.replace(peer.root, tenant="acme")
    asks = [peer.ask("writer", 1, command="write", timeout=0.5, lineage=acme) for _ in range(20)]
    assert await succeeded(asks) <= 4
    assert await succeeded([peer.ask("writer", 1, command="write", timeout=0.5) for _ in range(20)]) == 20


async def test_awards_are_rationed_too_and_come_through_in_time(pair: tuple[Operator, Mesh, Mesh]) -> None:
    operator, host, client = pair
    await decide(operator, RateLimit(capability="text.write", calls=600, burst=5), host)
    began = client.peer.clock.monotonic()
    for _ in range(20):
        assert await client.call("text.write", 1, timeout=30) == "written"
    assert client.peer.clock.monotonic() - began > 1.0


async def test_tokens_are_counted_by_what_the_handler_reports(pair: tuple[Operator, Mesh, Mesh]) -> None:
    operator, host, client = pair
    await decide(operator, RateLimit(agent="writer", tokens=6000, token_burst=1000), host)
    assert await client.ask("writer", 3000, command="write") == "written"
    with pytest.raises(RateLimited) as raised:
        await client.ask("writer", 10, command="write", timeout=1)
    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 15


async def test_a_tool_is_limited_over_all_agents_that_use_it(pair: tuple[Operator, Mesh, Mesh]) -> None:
    operator, host, client = pair
    await decide(operator, RateLimit(tool="search.web", calls=60, burst=3), host)
    asks = [client.ask("writer", command="look_up", timeout=0.5) for _ in range(20)]
    assert 2 <= await succeeded(asks) <= 4


async def test_while_the_store_is_away_nothing_that_is_limited_is_done(pair: tuple[Operator, Mesh, Mesh]) -> None:
    operator, host, _ = pair
    await decide(operator, RateLimit(tool="search.web", calls=60, burst=3), host)
    operator.server.stop()
    with pytest.raises(MeshError):
        await host.peer.limiter.take(tool="search.web")


async def test_who_waits_for_a_ration_waits_in_a_line_that_has_an_end(pair: tuple[Operator, Mesh, Mesh]) -> None:
    """Until a slice is drawn calls are in no mailbox; with a slow store they were as many as came."""
    operator, host, client = pair
    await decide(operator, RateLimit(agent="writer", calls=6000, burst=500), host)
    host.peer.limiter._open = asyncio.Event().wait  # type: ignore[assignment, method-assign]
    asks = [asyncio.ensure_future(client.ask("writer", 1, command="write", timeout=5.0)) for _ in range(300)]
    await until(lambda: host.peer.counts["overloaded"] >= 300 - 256)
    assert host.peer.rationing._waiting.total() == 256
    results = await asyncio.gather(*asks, return_exceptions=True)
    assert all(isinstance(each, MeshError) for each in results)
    await until(lambda: not host.peer.rationing._waiting)


async def test_an_award_that_is_cancelled_while_it_waits_for_its_ration_gives_it_back(
    pair: tuple[Operator, Mesh, Mesh],
) -> None:
    operator, host, client = pair
    limit = RateLimit(agent="writer", calls=60, burst=8)
    await decide(operator, limit, host)
    drawn, limiter = asyncio.Event(), host.peer.limiter
    opened = limiter._open

    async def slowly() -> Any:
        await drawn.wait()
        return await opened()

    limiter._open = slowly  # type: ignore[method-assign]
    call = asyncio.ensure_future(client.call("text.write", 1, timeout=10.0))
    await client.peer.clock.sleep(1.0)
    call.cancel()
    await client.peer.clock.sleep(1.0)
    drawn.set()
    await until(lambda: any(each.allowance.in_hand(client.peer.clock.monotonic()) for each in limiter._meters.values()))
    assert all(meter.allowance._used == 0.0 for meter in limiter._meters.values())


async def test_an_ask_that_is_cancelled_while_it_waits_for_its_ration_is_not_begun(
    pair: tuple[Operator, Mesh, Mesh],
) -> None:
    operator, host, client = pair
    await decide(operator, RateLimit(agent="writer", calls=60, burst=8), host)
    drawn, limiter = asyncio.Event(), host.peer.limiter
    opened = limiter._open

    async def slowly() -> Any:
        await drawn.wait()
        return await opened()

    limiter._open = slowly  # type: ignore[method-assign]
    ask = asyncio.ensure_future(client.ask("writer", 1, command="write", timeout=10.0))
    await client.peer.clock.sleep(1.0)
    ask.cancel()
    await client.peer.clock.sleep(1.0)
    drawn.set()
    await client.peer.clock.sleep(1.0)
    writer = next(iter(host.peer.actors.values()))
    assert writer.figures().handled == 0
