"""A job changes hands while an agent works for it: the work goes on, and its result goes to the new owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from mesh import Job, Mesh, agent, workflow
from mesh.protocols.commitment import Asker, AwardReceived
from mesh.protocols.commitments import Commitments, Decline
from mesh.protocols.ports import Clock, Ids
from mesh.transport.memory.server import MemoryServer

done: list[str] = []


@agent(capability="text.slow", timeout=60)
async def slow(text: str) -> str:
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        done.append("cancelled")
        raise
    done.append(text)
    return text.upper()


@workflow("shout")
async def shout(job: Job, text: str) -> str:
    return await job.call("text.slow", text, returns=str)


@workflow("hasty")
async def hasty(job: Job, text: str) -> list[Any]:
    return await job.gather(job.branch("part", part(job, text), timeout=3))


async def part(job: Job, text: str) -> str:
    return await job.call("text.slow", text, returns=str)


class House:
    """Peers over one memory server."""

    def __init__(self, clock: Clock, ids: Ids, stack: AsyncExitStack) -> None:
        self.clock, self.ids, self.stack = clock, ids, stack
        self.server = MemoryServer(clock, ids, latency=0.001)

    async def open(self, name: str) -> Mesh:
        over = Mesh.over(self.server.connect(name), process=name, clock=self.clock, ids=self.ids)
        return await self.stack.enter_async_context(over)


@pytest.fixture
async def house(clock: Clock, ids: Ids) -> AsyncIterator[House]:
    done.clear()
    async with AsyncExitStack() as stack:
        yield House(clock, ids, stack)


@pytest.mark.virtual
async def test_what_an_agent_does_for_a_draining_owner_goes_to_the_next_one(house: House) -> None:
    client, worker = await house.open("client"), await house.open("worker")
    first, second = await house.open("flow-1"), await house.open("flow-2")
    await worker.host(slow)
    await first.host_workflow(shout)
    handle = await client.submit("shout", "hello")
    await asyncio.sleep(2)
    await second.host_workflow(shout)
    await first.drain(1)
    assert await handle.result(30) == "HELLO"
    assert done == ["hello"]
    state = await handle.state()
    assert [each.process for each in state.claims] == ["flow-1", "flow-2"]
    assert (state.steps["text.slow"].attempt, len(state.steps["text.slow"].awards)) == (2, 1)


@pytest.mark.virtual
async def test_what_a_branch_has_no_time_for_is_cancelled_at_the_agent(house: House) -> None:
    client, worker, flow = await house.open("client"), await house.open("worker"), await house.open("flow")
    await worker.host(slow)
    await flow.host_workflow(hasty)
    handle = await client.submit("hasty", "hello")
    (missing,) = await handle.result(30)
    assert missing["error"]["code"] == "deadline-exceeded"
    await asyncio.sleep(1)
    assert done == ["cancelled"]


def test_an_award_that_an_earlier_owner_had_cancelled_is_declined_to_the_next_one() -> None:
    """It would else be told *done*, and take nothing for the result."""

    def received(epoch: int) -> AwardReceived:
        return AwardReceived(
            award="a", conversation="c", capability="text.slow", seat="slow.one", job="j", asker=Asker("p", "t", epoch)
        )

    book = Commitments()
    book.award(received(1), room=1, now=0.0)
    book.cancel(received(1), 1.0)
    (answer,) = book.award(received(2), room=1, now=2.0)
    assert isinstance(answer, Decline)
    assert answer.reason == "unknown"
