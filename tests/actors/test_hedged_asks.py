"""A slow instance is not waited for: another one is asked, seldom, and only for what may be done twice."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mesh.actors.asking.question import Question, Wish
from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command
from mesh.actors.peer import Peer
from mesh.actors.running.actor import Actor
from mesh.actors.running.context import Context
from mesh.protocols.errors import BreakerOpen, Overloaded, Unavailable
from mesh.resilience.hedging import Hedge
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual
SOON = Hedge(least=5, share=0.2)


class Looker(Agent, capacity=64):
    """Takes as long as it is told, or `slow` longer."""

    def __init__(self) -> None:
        self.slow = 0.0
        self.asked = self.cancelled = 0

    @command(capability="look", effect="pure", timeout=30.0)
    async def look(self, ctx: Context, seconds: float) -> str:
        self.asked += 1
        try:
            await asyncio.sleep(seconds + self.slow)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return ctx.process

    @command(effect="costly")
    async def think(self, seconds: float) -> None:
        pass


async def two(neighbours: Neighbours, calls: int = 20) -> tuple[Peer, Actor, Actor]:
    """Two instances, and a caller who knows how fast they are."""
    one, other = [await neighbours.host(Looker, process=each) for each in ("one", "two")]
    client = await neighbours.client()
    for _ in range(calls):
        await client.ask("look", 0.1, hedge=SOON)
    return client, one, other


async def test_a_slow_instance_is_overtaken_and_told_to_stop(neighbours: Neighbours) -> None:
    client, one, other = await two(neighbours)
    one.target.slow = other.target.slow = 20.0
    began = neighbours.clock.monotonic()
    slow = asyncio.ensure_future(client.ask("look", 0.1, hedge=SOON))
    await until(lambda: one.running + other.running == 1)
    busy, idle = (one, other) if one.running else (other, one)
    idle.target.slow = 0.0
    assert await slow == idle.peer.process
    assert neighbours.clock.monotonic() - began < 0.5
    await until(lambda: busy.target.cancelled == 1)
    assert client.counts["hedged"] == 1
    assert client.breakers.rows() == [] or all(each.failed == 0 for each in client.breakers.rows())


async def test_it_is_seldom(neighbours: Neighbours) -> None:
    client, one, other = await two(neighbours)
    before = one.target.asked + other.target.asked
    one.target.slow = 1.0
    for _ in range(200):
        await client.ask("look", 0.1, hedge=True)
    assert one.target.asked + other.target.asked - before <= 200 * 1.05


async def test_a_quick_answer_needs_no_second_attempt(neighbours: Neighbours) -> None:
    client, one, other = await two(neighbours, calls=100)
    assert one.target.asked + other.target.asked == 100
    assert client.counts["hedged"] == 0


async def test_what_costs_twice_if_done_twice_is_refused(neighbours: Neighbours) -> None:
    await neighbours.host(Looker)
    with pytest.raises(TypeError, match=r"looker\.think done twice, and it is costly"):
        await (await neighbours.client()).ask("looker", 0.1, command="think", hedge=True)


async def test_without_another_instance_there_is_nobody_to_ask(neighbours: Neighbours) -> None:
    only = await neighbours.host(Looker)
    client = await neighbours.client()
    for _ in range(20):
        await client.ask("look", 0.1, hedge=SOON)
    await client.ask("look", 5.0, hedge=SOON)
    assert only.target.asked == 21


async def test_none_while_the_target_is_overloaded(neighbours: Neighbours) -> None:
    client, one, other = await two(neighbours)
    pace = client.hedging.paces.of("look", "look", SOON)
    pace.failed(Overloaded("too much", retry_after=60.0), neighbours.clock.monotonic())
    await client.ask("look", 5.0, hedge=SOON)
    assert one.target.asked + other.target.asked == 21


async def test_an_author_says_it_once_for_all_callers(neighbours: Neighbours) -> None:
    @agent(capability="see", effect="pure", hedge=True, capacity=8)
    async def seer(seconds: float) -> None:
        await asyncio.sleep(seconds)

    for process in ("one", "two"):
        await neighbours.host(seer, process=process)
    client = await neighbours.client()
    for _ in range(40):
        await client.ask("see", 0.1)
    await client.ask("see", 4.0)
    assert client.counts["hedged"] == 1
    await client.ask("see", 4.0, hedge=False)
    assert client.counts["hedged"] == 1


def test_an_author_cannot_say_it_of_what_is_not_pure() -> None:
    with pytest.raises(TypeError, match="only effect='pure'"):

        @agent(hedge=True)
        async def pay(cents: int) -> None: ...


class Costly(Agent, name="costly-looker"):
    """A release that says of the same work that it is not to be done twice."""

    def __init__(self) -> None:
        self.asked = 0

    @command(capability="look", effect="at_most_once", timeout=30.0)
    async def look(self, seconds: float) -> str:
        self.asked += 1
        raise Unavailable("not now")


async def test_nothing_is_asked_a_second_time_of_who_does_not_declare_it_pure(neighbours: Neighbours) -> None:
    client, _, _ = await two(neighbours)
    await neighbours.stop("two")
    await until(lambda: len(client.directory.lookup("look")) == 1)
    await neighbours.host(Costly, process="three")
    for _ in range(5):
        client.routing.begun(client.directory.instances("costly-looker")[0].key)
    await until(lambda: Question(client, client.routing, Wish("look", 0.1, client.root)).route.effect == "pure")
    assert Question(client, client.routing, Wish("look", 0.1, client.root)).elsewhere() is None


async def test_what_was_done_at_most_once_is_not_repeated_because_the_first_attempt_was_pure(
    neighbours: Neighbours,
) -> None:
    class Broken(Agent, name="broken-looker"):
        @command(capability="look", effect="pure", timeout=30.0)
        async def look(self, seconds: float) -> str:
            raise Unavailable("not now")

    await neighbours.host(Broken, process="one")
    costly = [await neighbours.host(Costly, process=f"p{number}") for number in range(3)]
    client = await neighbours.client()
    for _ in range(20):
        before = sum(each.target.asked for each in costly)
        with contextlib.suppress(Unavailable, BreakerOpen):
            await client.ask("look", 0.1)
        assert sum(each.target.asked for each in costly) - before <= 1


async def test_what_the_breaker_of_an_instance_refuses_takes_no_trial_of_its_version(neighbours: Neighbours) -> None:
    """One instance is asked by name: its version may be tried again, and calls to it are refused."""
    await neighbours.host(Looker, process="one")
    client = await neighbours.client()
    listing = client.directory.instances("looker")[0]
    version = ("looker@" + listing.record.version, "look")
    quality = client.quality.of(*version)
    quality.trip("bad", client.clock.monotonic())
    await client.clock.sleep(60)
    client.breakers.force(listing.key, "look", "why")
    for _ in range(5):
        with pytest.raises(BreakerOpen):
            await client.ask("looker.one", 0.1, command="look")
        with pytest.raises(BreakerOpen):
            async for _ in client.stream("looker.one", 0.1, command="look"):
                pass
    client.breakers.release(listing.key, "look")
    assert await client.ask("looker.one", 0.1, command="look") == "one"
