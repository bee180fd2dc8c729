"""Live events through the mailbox: what a handler does in its first step and after it has waited ends the same way."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from mesh.actors.deciding import Deciding
from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command, on_event
from mesh.actors.peer import Peer
from mesh.actors.running.actor import Actor
from mesh.actors.running.context import Context
from mesh.actors.running.supervision import Poisoned, RestartPolicy
from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import Refused
from mesh.protocols.policies import Switch
from mesh.protocols.ports import Clock, Ids
from mesh.telemetry.telemetry import silent
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


@pytest.fixture(params=[True, False], ids=["told", "silent"])
async def neighbours(request: pytest.FixtureRequest, clock: Clock, ids: Ids) -> Any:
    neighbours = Neighbours(clock, ids)
    if not request.param:
        neighbours.telemetry = silent()
    yield neighbours
    await neighbours.leave()


class Slow(Agent):
    restarts = RestartPolicy(first=0.1)
    mailbox = 8

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.cleaned: list[int] = []

    @on_event("step", timeout=2.0)
    async def step(self, wait: float, number: int) -> None:
        self.begun.append(number)
        try:
            if wait:
                await asyncio.sleep(wait)
        finally:
            self.cleaned.append(number)
        self.ended.append(number)

    @on_event("wrong")
    async def wrong(self, wait: float, how: str) -> None:
        await asyncio.sleep(wait) if wait else None
        raise {"mistake": ValueError("no"), "refusal": Refused("no"), "poison": Poisoned()}[how]

    @command
    async def ended_so_far(self) -> list[int]:
        return self.ended


def _step(number: int, wait: float = 0.0) -> dict[str, Any]:
    return {"wait": wait, "number": number}


async def test_one_is_handled_after_the_other_whether_they_wait_or_not(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Slow)
    client = await neighbours.client()
    for number, wait in enumerate((0.0, 1.0, 0.0, 0.5, 0.0)):
        await client.emit("step", _step(number, wait), stored=False)
    await until(lambda: len(actor.target.ended) == 5)
    assert actor.target.begun == actor.target.ended == actor.target.cleaned == [0, 1, 2, 3, 4]
    assert actor.tally.whole.handled == 5
    assert actor.tally.of("step").failed == 0
    assert await client.ask("slow", command="ended_so_far") == [0, 1, 2, 3, 4]


async def test_a_handler_that_waits_too_long_is_stopped_at_its_deadline(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Slow)
    client = await neighbours.client()
    await client.emit("step", _step(1, 60.0), stored=False)
    await client.emit("step", _step(2), stored=False)
    await until(lambda: actor.target.ended == [2])
    assert actor.target.cleaned == [1, 2]
    assert "deadline-exceeded" in actor.tally.of("step").last_error


@pytest.mark.parametrize("wait", [0.0, 0.5])
@pytest.mark.parametrize(("how", "error", "failed"), [("mistake", "handler-failed", 1), ("refusal", "refused", 0)])
async def test_what_it_raises_is_on_the_record(
    neighbours: Neighbours, wait: float, how: str, error: str, failed: int
) -> None:
    actor = await neighbours.host(Slow)
    client = await neighbours.client()
    await client.emit("wrong", {"wait": wait, "how": how}, stored=False)
    await until(lambda: actor.tally.whole.handled == 1)
    assert actor.tally.of("wrong").failed == failed
    assert actor.tally.of("wrong").last_error.startswith(error)
    if neighbours.log:
        (line,) = neighbours.told("agent.call")
        assert (line["error"], line["exit_status"] != "success") == (error, True)


@pytest.mark.parametrize("wait", [0.0, 0.5])
async def test_what_poisons_the_actor_restarts_it(neighbours: Neighbours, wait: float) -> None:
    actor = await neighbours.host(Slow)
    client = await neighbours.client()
    before = actor.target
    await client.emit("wrong", {"wait": wait, "how": "poison"}, stored=False)
    await client.emit("step", _step(1), stored=False)
    await until(lambda: actor.target is not before and actor.target.ended == [1])
    assert actor.supervision.restarts == 1


async def test_mistakes_in_a_row_restart_it_and_one_success_between_them_does_not(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Slow)
    client = await neighbours.client()
    patience = actor.supervision.policy.patience
    for _ in range(patience - 1):
        await client.emit("wrong", {"wait": 0.0, "how": "mistake"})
    await client.emit("step", _step(1))
    for _ in range(patience - 1):
        await client.emit("wrong", {"wait": 0.0, "how": "mistake"})
    await until(lambda: actor.tally.whole.handled == 2 * patience - 1)
    assert actor.supervision.restarts == 0
    await client.emit("wrong", {"wait": 0.0, "how": "mistake"})
    await until(lambda: actor.supervision.restarts == 1)


async def test_a_full_mailbox_drops_and_counts(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Slow)
    client = await neighbours.client()
    await client.emit("step", _step(0, 1.0), stored=False)
    await until(lambda: actor.target.begun == [0])
    for number in range(1, 31):
        await client.emit("step", _step(number), stored=False)
    await until(lambda: len(actor.target.ended) == 9)
    assert actor.target.ended == list(range(9))
    assert actor.peer.counts["event-dropped"] == 22


async def test_stopping_the_actor_ends_a_handler_that_waits(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Slow)
    await (await neighbours.client()).emit("step", _step(1, 1.5), stored=False)
    await until(lambda: actor.target.begun == [1])
    await actor.peer.unhost(actor, drain=False)
    assert (actor.target.cleaned, actor.target.ended) == ([1], [])


async def test_draining_it_waits_for_that_handler(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Slow)
    await (await neighbours.client()).emit("step", _step(1, 1.5), stored=False)
    await until(lambda: actor.target.begun == [1])
    await actor.peer.unhost(actor)
    assert actor.target.ended == [1]


async def test_its_context_is_the_same_before_and_after_it_waits(neighbours: Neighbours) -> None:
    class Reader(Agent):
        used: tuple[int, str] | None = None

        @on_event("read")
        async def read(self, event: msgspec.Raw, ctx: Context) -> str:
            ctx.use(tokens_in=3)
            await asyncio.sleep(0.1)
            ctx.use(tokens_in=4)
            type(self).used = (ctx.usage.tokens_in, bytes(event).decode())
            return "heard by nobody"

    await neighbours.host(Reader)
    await (await neighbours.client()).emit("read", {"a": 1}, stored=False)
    await until(lambda: Reader.used is not None)
    assert Reader.used == (7, '{"a":1}')
    await asyncio.sleep(0)
    for line in neighbours.told("agent.call"):
        assert line["tokens_in"] == 7


async def test_plain_functions_run_in_a_thread(neighbours: Neighbours) -> None:
    class Blocking(Agent):
        heard: list[int] = []

        @on_event("n")
        def number(self, value: int) -> None:
            self.heard.append(value)

    await neighbours.host(Blocking)
    client = await neighbours.client()
    for number in range(3):
        await client.emit("n", number, stored=False)
    await until(lambda: Blocking.heard == [0, 1, 2])


class Usher(Agent, mailbox=4):
    """Hears events while it waits for nothing."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.heard: list[int] = []

    @on_event("came")
    async def came(self, number: int) -> None:
        self.heard.append(number)

    @command(timeout=60)
    async def wait(self) -> bool:
        await self.gate.wait()
        return True


async def crowded(neighbours: Neighbours) -> tuple[Actor, Peer, asyncio.Future[bool]]:
    """An usher who waits, whose mailbox is full of events."""
    actor = await neighbours.host(Usher)
    client = await neighbours.client()
    await asyncio.sleep(100)
    waits = asyncio.ensure_future(client.ask("usher"))
    await until(lambda: actor.running == 1)
    for number in range(4):
        await client.emit("came", number, stored=False)
    await until(lambda: actor.waiting == 4)
    return actor, client, waits


async def test_events_that_wait_are_not_handled_once_their_agent_is_killed(neighbours: Neighbours) -> None:
    actor, client, waits = await crowded(neighbours)
    switch = Switch(what="agent", name="usher", reason="it lets everybody in")
    await Deciding(client, "me@here").decide(switch.key, switch)
    actor.target.gate.set()
    assert await waits
    await until(lambda: actor.waiting == 0)
    assert (actor.target.heard, actor.peer.counts["killed"]) == ([], 4)


async def test_an_event_makes_room_for_what_is_more_urgent(neighbours: Neighbours) -> None:
    actor, client, waits = await crowded(neighbours)
    urgent = asyncio.ensure_future(client.ask("usher", constraints=Constraints(priority=0)))
    await until(lambda: actor.peer.counts["shed"] == 1)
    actor.target.gate.set()
    assert await waits
    assert await urgent
    assert actor.peer.counts["overloaded"] == 0


async def test_an_event_that_two_handlers_hear_at_once_counts_as_two_that_run(neighbours: Neighbours) -> None:
    class Both(Agent, capacity=4):
        def __init__(self) -> None:
            self.gate = asyncio.Event()

        @on_event("came")
        async def came(self, number: int) -> None:
            await self.gate.wait()

        @on_event("*")
        async def anything(self, number: int) -> None:
            await self.gate.wait()

    actor = await neighbours.host(Both)
    client = await neighbours.client()
    await client.emit("came", 1, stored=False)
    await until(lambda: actor.running == 2)
    switch = Switch(what="agent", name="both", now=True)
    await Deciding(client, "me@here").decide(switch.key, switch)
    await until(lambda: actor.running == 0)
