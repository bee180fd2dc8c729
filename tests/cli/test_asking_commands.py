"""`mesh ask` and `mesh call`: on whose account, how urgent, and that what is less than was asked for says so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from mesh import Agent, Context, Mesh, command
from tests.command_line import CommandLine
from tests.servers import RealServer

pytestmark = [pytest.mark.server]


class Clerk(Agent):
    @command(capability="clerk.tell", effect="pure")
    async def tell(self, ctx: Context) -> list[str]:
        return [ctx.tenant, str(ctx.constraints.priority)]

    @command(capability="clerk.halve")
    async def halve(self, text: str, ctx: Context) -> str:
        ctx.degrade("only half of it was read")
        return text[: len(text) // 2]

    @command
    async def count(self, number: int) -> AsyncIterator[int]:
        for each in range(number):
            yield each


@pytest.fixture
async def host(server: RealServer) -> AsyncIterator[Mesh]:
    async with Mesh.connect(server.url, process="host") as mesh:
        await mesh.host(Clerk)
        yield mesh


@pytest.mark.parametrize("way", [("ask", "clerk", "--command", "tell"), ("ask", "clerk.tell"), ("call", "clerk.tell")])
async def test_it_is_done_on_account_of_a_tenant_and_as_urgently_as_said(
    host: Mesh, cli: CommandLine, way: tuple[str, ...]
) -> None:
    code, out, err = await cli(*way, "--tenant", "acme", "--priority", "1")
    assert (code, json.loads(out)) == (0, ["acme", "1"]), err
    code, _, err = await cli(*way, "--tenant", "Acme!")
    assert (code, "tenant" in err) == (2, True)


@pytest.mark.parametrize("way", ["ask", "call"])
async def test_a_degraded_answer_is_said_to_be_one(host: Mesh, cli: CommandLine, way: str) -> None:
    code, out, err = await cli(way, "clerk.halve", '"abcd"')
    assert (code, json.loads(out)) == (0, "ab")
    assert "degraded: only half of it was read" in err
    _, out, _ = await cli(way, "clerk.halve", '"abcd"', "-o", "json")
    said = json.loads(out)
    assert (said["result"], said.get("why") or said["degraded"]) == ("ab", "only half of it was read")


async def test_the_rest_of_ask(host: Mesh, cli: CommandLine) -> None:
    code, out, _ = await cli("ask", "clerk", "3", "--command", "count", "--stream")
    assert (code, out.split()) == (0, ["0", "1", "2"])
    _, out, _ = await cli("ask", "clerk.tell", "--hedge", "-o", "json")
    assert json.loads(out) == {"result": ["default", "2"], "source": "full", "why": "", "by": "clerk.host"}
    code, _, err = await cli("ask", "clerk")
    assert (code, "say which command" in err) == (2, True)
    code, _, err = await cli("ask", "clerk.halve", '"x"', "--hedge")
    assert (code, "declare it effect='pure'" in err) == (2, True)


async def test_work_whose_caller_has_given_up_is_counted_for_people(host: Mesh, cli: CommandLine) -> None:
    host.peer.count("expired", agent="clerk", where="mailbox")
    code, out, err = await cli("counts", "host", "--what", "expired", "--timeout", "30", "-o", "json")
    assert (code, json.loads(out)) == (0, [{"process": "host", "what": "expired", "times": 1}]), err
    code, _, err = await cli("counts", "nobody")
    assert (code, "there are: " in err) == (2, True)
