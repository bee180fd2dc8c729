"""An event that a durable handler cannot use is not lost: it becomes a dead letter with all that is known of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import ClassVar

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command, on_event
from mesh.actors.events.burial import GivenUp
from mesh.actors.running.actor import Actor
from mesh.jobs.outside.letters import Letters
from mesh.protocols.dead_letters import DeadLetter
from mesh.protocols.envelope import decode
from mesh.protocols.errors import Refused, TimedOut
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Clerk(Agent, version="1.4.0"):
    heard: list[str] = []

    @on_event("order.placed", durable=True)
    async def placed(self, order: str) -> None:
        self.heard.append(order[:10])
        if order.startswith("bad"):
            raise Refused("no such customer", detail={"customer": "Ada"})


async def letters(neighbours: Neighbours) -> list[DeadLetter]:
    client = await neighbours.client()
    found = await client.store.read("mesh_default_DLQ", "mesh.default.dlq.*")
    return [msgspec.json.decode(each.data, type=DeadLetter) for each in found]


async def test_it_has_the_event_the_handler_the_error_the_attempts_and_the_stamps(neighbours: Neighbours) -> None:
    await neighbours.host(Clerk)
    client = await neighbours.client()
    sequence = await client.emit("order.placed", "bad one")
    await until(lambda: bool(neighbours.told("event.given_up")), timeout=120)
    (letter,) = await letters(neighbours)
    assert (letter.stage, letter.tenant, letter.agent, letter.handler) == ("event", "default", "clerk", "placed")
    assert (letter.reason.code, letter.reason.message, letter.reason.origin) == (
        "refused",
        "no such customer",
        "clerk.host",
    )
    assert letter.reason.detail == {"customer": "Ada"}
    assert letter.stamps is not None
    assert letter.stamps.agent_version == "1.4.0"
    assert letter.source is not None
    assert (letter.source.sequence, letter.source.attempts) == (sequence, 5)
    assert letter.source.subject == "mesh.default.evt.default.client.order.placed"
    event = decode(letter.data())
    assert (event.name, bytes(event.payload), event.sender.agent) == ("order.placed", b'"bad one"', "client")


async def test_a_large_event_is_an_object_of_its_own(neighbours: Neighbours) -> None:
    """Its envelope names the payload already; nothing is copied that is kept."""
    await neighbours.host(Clerk)
    client = await neighbours.client()
    await client.emit("order.placed", "bad" + "x" * 100_000)
    await until(lambda: bool(neighbours.told("event.given_up")), timeout=120)
    (letter,) = await letters(neighbours)
    event = await client.payloads.whole(decode(letter.data()))
    assert len(bytes(event.payload)) == 100_005


async def test_what_cannot_be_buried_is_not_let_go_of(neighbours: Neighbours) -> None:
    Clerk.heard.clear()
    actor = await neighbours.host(Clerk)
    bury, refused = actor.peer.bury, [0]

    async def away(given_up: GivenUp) -> None:
        refused[0] += 1
        if refused[0] < 3:
            raise TimedOut("the store is away")
        await bury(given_up)

    actor.peer.bury = away
    await (await neighbours.client()).emit("order.placed", "bad two")
    await until(lambda: bool(neighbours.told("event.given_up")), timeout=600)
    assert len(await letters(neighbours)) == 1
    assert refused == [3]


async def test_two_processes_that_give_up_the_same_event_write_one_letter(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Clerk)
    kept: list[GivenUp] = []
    bury = actor.peer.bury

    async def twice(given_up: GivenUp) -> None:
        kept.append(given_up)
        await bury(given_up)
        await bury(given_up)

    actor.peer.bury = twice
    await (await neighbours.client()).emit("order.placed", "bad three")
    await until(lambda: bool(kept), timeout=120)
    await asyncio.sleep(10)
    assert len(await letters(neighbours)) == 1


async def test_redriven_it_comes_again_to_the_handler_that_failed_and_to_nobody_else(neighbours: Neighbours) -> None:
    heard: list[str] = []

    class Moody(Agent):
        @on_event("order.placed", durable=True)
        async def placed(self, order: str) -> None:
            heard.append("moody")
            if heard.count("moody") <= 5:
                raise Refused("not today")

    class Steady(Agent):
        @on_event("order.placed", durable=True)
        async def placed(self, order: str) -> None:
            heard.append("steady")

    await neighbours.host(Moody)
    await neighbours.host(Steady)
    client = await neighbours.client()
    await client.emit("order.placed", "one")
    await until(lambda: bool(neighbours.told("event.given_up")), timeout=120)
    kept = Letters(client)
    (one,) = await kept.all()
    await kept.redrive(one.letter, "ann")
    await kept.redrive(one.letter, "ann")
    await until(lambda: heard.count("moody") == 6, timeout=120)
    await client.emit("order.placed", "two")
    await until(lambda: heard.count("moody") == 7, timeout=120)
    await until(lambda: heard.count("steady") == 2, timeout=120)


class Busy(Agent):
    """Has so much else to do that an event waits longer than its handler may take."""

    heard: ClassVar[list[int]] = []

    @on_event("order.counted", durable=True)
    async def counted(self, number: int) -> None:
        self.heard.append(number)

    @command(timeout=600)
    async def work(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest.fixture
async def busy(neighbours: Neighbours) -> AsyncIterator[Actor]:
    Busy.heard.clear()
    actor = await neighbours.host(Busy)
    client = await neighbours.client()
    asked = [asyncio.ensure_future(client.ask("busy", 20.0, command="work")) for _ in range(12)]
    await until(lambda: actor.running == 1)
    yield actor
    for each in asked:
        each.cancel()


async def test_an_event_that_waits_for_minutes_is_handled_once_and_not_given_up(
    neighbours: Neighbours, busy: Actor
) -> None:
    await busy.peer.emit("order.counted", 1)
    await until(lambda: bool(Busy.heard), timeout=600)
    await asyncio.sleep(120)
    assert Busy.heard == [1]
    assert neighbours.told("event.given_up") == []


async def test_an_event_whose_payload_is_gone_is_passed_over(neighbours: Neighbours) -> None:
    """As when what a tenant had is erased. It came again every half minute for a week, and nobody could follow the stream."""
    client = await neighbours.client()
    await client.emit("order.placed", "x" * 100_000)
    objects = await client.payloads.objects()
    for each in await objects.all():
        await objects.delete(each)
    await client.emit("order.placed", "good")
    Clerk.heard.clear()
    actor = await neighbours.host(Clerk)
    await until(lambda: bool(Clerk.heard), timeout=600)
    await asyncio.sleep(300)
    assert Clerk.heard == ["good"]
    assert actor.peer.counts["bad-event"] == 1
    async with aclosing(client.events.follow("order.placed", after=0)) as events:
        assert (await anext(events)).payload == "good"
