"""Drains: the tasks that handle what is in a mailbox. Few where handlers wait for nothing, many where they do."""

from __future__ import annotations

import asyncio
import itertools
from typing import cast

import pytest

from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command
from mesh.protocols.errors import DeadlineExceeded
from mesh.testing.virtual_time import VirtualLoop, until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


def drains() -> int:
    """How many there are now."""
    return sum(task.get_name().startswith("drain ") for task in asyncio.all_tasks())


class Counter(Agent, capacity=8):
    """Counts what it is told, takes time for it or waits."""

    def __init__(self) -> None:
        self.handled = 0
        self.most_drains = 0
        self.gate = asyncio.Event()
        self.waiting = 0

    @command
    async def count(self) -> int:
        self.handled += 1
        self.most_drains = max(self.most_drains, drains())
        return self.handled

    @command
    async def burn(self, seconds: float) -> None:
        cast(VirtualLoop, asyncio.get_running_loop()).jump(seconds)
        self.handled += 1

    @command
    async def wait(self) -> None:
        self.waiting += 1
        await self.gate.wait()

    @command
    async def nap(self) -> str:
        async with asyncio.timeout(1.0):
            task = asyncio.current_task()
            await asyncio.sleep(0.5)
            return "the same task" if task is asyncio.current_task() else "another task"


async def test_messages_that_come_together_are_handled_by_one_drain_if_none_waits(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Counter)
    client = await neighbours.client()
    assert sorted(await asyncio.gather(*(client.ask("counter", command="count") for _ in range(64)))) == [*range(1, 65)]
    assert actor.target.most_drains == 1
    assert drains() == 0


async def test_messages_behind_one_that_waits_are_begun_as_far_as_capacity_goes(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Counter)
    client = await neighbours.client()
    asked = [asyncio.ensure_future(client.ask("counter", command="wait")) for _ in range(10)]
    await until(lambda: actor.target.waiting == 8)
    assert (actor.running, actor.waiting) == (8, 2)
    actor.target.gate.set()
    await asyncio.gather(*asked)
    assert actor.target.waiting == 10
    assert drains() == 0


async def test_one_that_waits_does_not_keep_back_one_that_comes_later(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Counter)
    client = await neighbours.client()
    waiting = asyncio.ensure_future(client.ask("counter", command="wait"))
    await until(lambda: actor.running == 1)
    assert await client.ask("counter", command="count") == 1
    actor.target.gate.set()
    await waiting


async def test_a_full_mailbox_does_not_keep_the_loop_to_itself(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Counter, capacity=1)
    client = await neighbours.client()
    for _ in range(100):
        await client.tell("counter", {"seconds": 0.004}, command="burn")
    await until(lambda: actor.waiting + actor.target.handled >= 100)
    seen = [actor.target.handled]
    while actor.target.handled < 100:
        seen.append(actor.target.handled)
        await asyncio.sleep(0)
    assert max(later - earlier for earlier, later in itertools.pairwise(seen)) <= 3


async def test_a_handler_takes_its_first_step_in_the_task_it_ends_in(neighbours: Neighbours) -> None:
    await neighbours.host(Counter)
    client = await neighbours.client()
    assert await client.ask("counter", command="nap") == "the same task"


async def test_a_handler_that_waits_is_cut_off_at_its_deadline_and_the_next_is_not(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Counter, capacity=1)
    client = await neighbours.client()
    with pytest.raises(DeadlineExceeded):
        await client.ask("counter", command="wait", timeout=1.0)
    assert await client.ask("counter", command="count") == 1
    assert actor.running == 0


async def test_a_handler_that_raises_before_it_waits_fails_alone(neighbours: Neighbours) -> None:
    @agent(capacity=4)
    async def picky(number: int) -> int:
        if number % 2:
            raise ValueError("odd")
        return number

    await neighbours.host(picky)
    client = await neighbours.client()
    asked = [client.ask("picky", {"number": number}) for number in range(8)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [each for each in answers if isinstance(each, int)] == [0, 2, 4, 6]
    assert sum("raised ValueError: odd" in str(each) for each in answers) == 4
