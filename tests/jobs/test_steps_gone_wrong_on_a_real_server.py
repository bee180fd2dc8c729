"""Steps gone wrong on a real server, seen and answered from the command line: killed, stood in for, asked of a person."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from mesh import AskPerson, Context, Degraded, Job, Mesh, agent, workflow
from mesh.jobs.outside.handle import JobHandle
from tests.command_line import CommandLine
from tests.servers import RealServer

pytestmark = [pytest.mark.server]


@agent(capability="text.upper", effect="pure")
async def upper(text: str, ctx: Context) -> str:
    if text == "tired":
        ctx.degrade("the small model did it")
    return text.upper()


@workflow("shout")
async def shout(job: Job, text: str) -> dict[str, Any]:
    loud = await job.call("text.upper", text, key="upper", returns=str)
    rate = await job.call("rates", key="rate", returns=float, fallbacks=(Degraded(1.0),))
    return {"loud": loud, "rate": rate.value}


@workflow("asks")
async def asks(job: Job) -> list[Any]:
    rate = await job.call("rates", returns=float, fallbacks=(AskPerson("today's rate?"),))
    return [rate.value, rate.by]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RealServer(tmp_path_factory.mktemp("server")) as server:
        yield server.url


@pytest.fixture
async def mesh(url: str) -> AsyncIterator[Mesh]:
    async with Mesh.connect(url, process="worker") as here:
        await here.host(upper)
        await here.host_workflow(shout)
        await here.host_workflow(asks)
        yield here


@pytest.fixture
def cli(url: str) -> CommandLine:
    return CommandLine(url)


async def becomes(handle: JobHandle, status: str) -> None:
    async with asyncio.timeout(60):
        while (state := await handle.state()).status != status:
            assert not state.terminal, state.fault
            await asyncio.sleep(0.05)


async def test_a_result_that_rests_on_less_says_so_on_stderr_and_in_job_show(mesh: Mesh, cli: CommandLine) -> None:
    code, out, err = await cli("submit", "shout", '"tired"')
    assert (code, json.loads(out)) == (0, {"loud": "TIRED", "rate": 1.0})
    told = "its result rests on less than was asked for: upper: the small model did it; rate: a degraded value"
    assert told in err
    job = (await cli("job", "ls", "-o", "json"))[1]
    shown = json.loads((await cli("job", "show", json.loads(job)[0]["id"], "-o", "json"))[1])
    assert list(shown["degraded"]) == ["upper", "rate"]
    code, out, _ = await cli("job", "result", shown["id"], "--with-degraded", "-o", "json")
    assert (code, json.loads(out)) == (0, {"result": shown["result"], "degraded": shown["degraded"]})
    table = (await cli("job", "show", shown["id"]))[1]
    assert "degraded: upper: the small model did it" in table


async def test_a_killed_capability_holds_the_job_until_it_is_allowed(mesh: Mesh, cli: CommandLine) -> None:
    code, _, err = await cli("kill", "capability", "text.upper", "--reason", "it shouts", "--by", "ada@desk")
    assert code == 0, err
    handle = await mesh.submit("shout", "hello")
    await becomes(handle, "waiting")
    shown = (await cli("job", "show", handle.id))[1]
    assert "capability text.upper was killed by ada@desk: it shouts: `mesh allow capability text.upper`" in shown
    assert (await cli("allow", "capability", "text.upper"))[0] == 0
    assert (await handle.result(30))["loud"] == "HELLO"


async def test_a_person_gives_the_value_from_the_command_line(mesh: Mesh, cli: CommandLine) -> None:
    handle = await mesh.submit("asks")
    await becomes(handle, "parked")
    shown = (await cli("job", "show", handle.id))[1]
    assert "today's rate? It failed: " in shown
    assert f"`mesh job resolve {handle.id} rates --succeeded JSON|--failed WHY|--retry`" in shown
    code, _, err = await cli("job", "resolve", handle.id, "rates", "--succeeded", "1.25", "--by", "ada")
    assert code == 0, err
    assert await handle.result(30) == [1.25, "ada"]
