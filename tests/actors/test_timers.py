"""`@every`: regular work, through the mailbox."""

from __future__ import annotations

import asyncio

import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command, every
from mesh.actors.running.supervision import Poisoned, RestartPolicy
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Ticker(Agent):
    restarts = RestartPolicy(first=1.0)

    def __init__(self) -> None:
        self.ticks: list[float] = []
        self.busy = 0

    @every(10)
    async def tick(self) -> None:
        assert self.busy == 0
        self.ticks.append(asyncio.get_running_loop().time())

    @command(timeout=60)
    async def work(self, seconds: float) -> None:
        self.busy += 1
        await asyncio.sleep(seconds)
        self.busy -= 1

    @command
    async def poison(self) -> None:
        raise Poisoned


async def test_a_timer_runs_regularly(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Ticker)
    began = neighbours.clock.monotonic()
    await asyncio.sleep(35)
    assert [round(at - began) for at in actor.target.ticks] == [10, 20, 30]


async def test_a_tick_waits_for_its_turn_and_is_not_doubled(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Ticker)
    client = await neighbours.client()
    await client.ask("ticker", 38.0, command="work", timeout=50)
    await asyncio.sleep(0.1)
    assert len(actor.target.ticks) <= 1


async def test_a_timer_goes_on_after_a_restart_and_ends_with_the_actor(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Ticker)
    client = await neighbours.client()
    await asyncio.gather(client.ask("ticker", command="poison"), return_exceptions=True)
    await asyncio.sleep(25)
    assert len(actor.target.ticks) == 2
    await actor.peer.unhost(actor)
    await asyncio.sleep(100)
    assert len(actor.target.ticks) == 2


async def test_a_method_may_have_two_timers_and_both_end_with_the_actor(neighbours: Neighbours) -> None:
    class Twice(Agent):
        ticks = 0

        @every(10)
        @every(15)
        async def tick(self) -> None:
            type(self).ticks += 1

    actor = await neighbours.host(Twice)
    await asyncio.sleep(35)
    assert Twice.ticks == 5
    await actor.peer.unhost(actor)
    await asyncio.sleep(100)
    assert (Twice.ticks, actor.peer.counts["tick-skipped"]) == (5, 0)
