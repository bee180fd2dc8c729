"""Leaving, whatever was going on: whoever waits is told, with `begun: false` where nothing was begun, and nothing stays behind."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from mesh.actors.deciding import Deciding
from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command, on_event
from mesh.actors.running.actor import Actor
from mesh.actors.running.context import Context
from mesh.actors.running.supervision import Poisoned, RestartPolicy
from mesh.actors.running.work import NOBODY, Work
from mesh.jobs.authoring.job import Job
from mesh.jobs.authoring.workflow import workflow
from mesh.protocols.errors import Draining, Overloaded
from mesh.protocols.policies import RateLimit
from mesh.protocols.ports import Clock, Ids
from mesh.registry.listing import Change
from mesh.resilience.deadline import Deadline
from mesh.testing.local import local_mesh
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Desk(Agent, mailbox=4, restarts=RestartPolicy(first=5.0)):
    """Serves one at a time, each until its gate opens."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.broken = False
        self.stopped = 0

    async def on_stop(self, ctx: Context) -> None:
        self.stopped += 1

    @command(timeout=30)
    async def serve(self, number: int) -> int:
        await self.gate.wait()
        return number

    @command
    async def read(self, text: str) -> None: ...

    @command
    async def breaks(self) -> None:
        self.broken = True
        raise Poisoned("the till is empty")

    @command
    async def is_broken(self) -> bool:
        return self.broken


class Slow(Agent):
    """Takes three seconds to start, and hears events that are stored."""

    async def on_start(self, ctx: Context) -> None:
        await asyncio.sleep(3)

    @on_event("order.placed", durable=True)
    async def placed(self, order: str) -> None: ...


class Away:
    """No answer of a process leaves: the server is away, and so much waits for it that no more is taken."""

    def __init__(self, actor: Actor, patch: pytest.MonkeyPatch) -> None:
        self.over = False
        self._publish = actor.peer.bus.publish
        patch.setattr(actor.peer.bus, "publish", self._published)

    def _published(self, subject: str, *given: Any, **named: Any) -> None:
        if ".rep." in subject and not self.over:
            raise Overloaded("too much waits for the server already")
        self._publish(subject, *given, **named)


async def hosting(neighbours: Neighbours) -> tuple[Actor, asyncio.Future[Actor]]:
    """An instance that is about to start, and whoever waits for it."""
    peer = await neighbours.peer("host")
    hosted = asyncio.ensure_future(peer.host(Slow))
    await until(lambda: bool(peer.actors))
    await asyncio.sleep(1)
    return next(iter(peer.actors.values())), hosted


def nothing_left(actor: Actor) -> bool:
    return not (actor.peer.actors or actor.active or actor.waiting or actor.peer._reactions._pulls)


async def test_an_answer_that_cannot_leave_keeps_nobody_else_from_leaving(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()
    asked = [asyncio.ensure_future(client.ask("desk", number, command="serve")) for number in range(4)]
    await until(lambda: actor.waiting == 3)
    Away(actor, monkeypatch)
    await actor.peer.unhost(actor, drain=False)
    assert actor.target.stopped == 1
    assert nothing_left(actor)
    assert actor.peer.counts["unanswered"] == 4
    for each in asked:
        each.cancel()


async def test_an_answer_that_cannot_leave_keeps_nobody_behind_it_waiting(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()
    times = (20, 1, 20)
    asked = [asyncio.ensure_future(client.ask("desk", n, command="serve", timeout=t)) for n, t in enumerate(times)]
    await until(lambda: actor.waiting == 2)
    await asyncio.sleep(2)
    Away(actor, monkeypatch)
    actor.target.gate.set()
    await until(lambda: actor.tally.whole.handled == 2)
    assert actor.peer.counts["unanswered"] == 3
    await asyncio.gather(*asked, return_exceptions=True)


async def test_what_waits_for_one_that_has_crashed_is_not_begun_on_what_it_left_behind(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()
    broken = asyncio.ensure_future(client.ask("desk", command="breaks"))
    waits = asyncio.ensure_future(client.ask("desk", command="is_broken"))
    await asyncio.gather(broken, return_exceptions=True)
    target = actor.target
    await actor.peer.unhost(actor)
    with pytest.raises(Draining) as raised:
        await waits
    assert raised.value.detail["begun"] is False
    assert target.stopped == 0, "`on_stop` is not for a state that cannot be trusted"


@pytest.mark.parametrize("how", ["unhost", "drain", "stop"])
async def test_one_that_is_taken_away_while_it_starts_is_not_hosted_after_all(neighbours: Neighbours, how: str) -> None:
    actor, hosted = await hosting(neighbours)
    await {"unhost": lambda: actor.peer.unhost(actor), "drain": actor.peer.drain, "stop": actor.peer.stop}[how]()
    with pytest.raises(Draining):
        await hosted
    assert nothing_left(actor)


async def test_a_process_that_leaves_while_it_takes_its_place_does_not_take_it(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, client = await neighbours.peer("host"), await neighbours.peer("client")
    take = peer.presence._holder.take

    async def slowly(*given: Any) -> None:
        await asyncio.sleep(2)
        await take(*given)

    monkeypatch.setattr(peer.presence._holder, "take", slowly)
    hosted = asyncio.ensure_future(peer.host(Desk))
    await asyncio.sleep(1)
    await peer.stop()
    with pytest.raises(Draining):
        await hosted
    await asyncio.sleep(10)
    assert client.directory.process("host") is None


async def test_an_actor_goes_away_whatever_its_last_words_run_into(neighbours: Neighbours) -> None:
    class Rude(Agent):
        async def on_stop(self, ctx: Context) -> None:
            raise asyncio.CancelledError

        @command
        async def work(self) -> None: ...

    actor = await neighbours.host(Rude)
    await actor.peer.unhost(actor)
    assert nothing_left(actor)
    assert [each["agent"] for each in neighbours.told("agent.stop_failed")] == ["rude.host"]


async def test_nobody_is_shown_as_starting_who_goes_away(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()
    seen: list[str] = []

    def changed(change: Change) -> None:
        listing = client.directory.listing("host.desk.host")
        seen.append(listing.record.state if listing is not None else change.kind)

    client.directory.on_change(changed)
    asked = asyncio.ensure_future(client.ask("desk", 1, command="serve"))
    await until(lambda: actor.running == 1)
    await actor.peer.unhost(actor, drain=False)
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: "instance-down" in seen)
    assert "starting" not in seen


async def test_who_has_left_hosts_nobody(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk)
    await actor.peer.stop()
    with pytest.raises(Draining):
        await actor.peer.host(Desk, instance="another")
    assert not actor.peer.actors


async def test_a_call_that_waits_for_its_ration_is_told_that_it_was_not_begun(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()
    limit = RateLimit(agent="desk", calls=600)
    await Deciding(client, "me@here").decide(limit.key, limit)
    await until(lambda: bool(actor.peer.policy.limits))

    async def away(**names: str) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(actor.peer.limiter, "take", away)
    asked = asyncio.ensure_future(client.ask("desk", 1, command="serve"))
    await until(lambda: bool(actor.peer.rationing._works))
    await neighbours.stop("host")
    with pytest.raises(Draining) as raised:
        await asked
    assert raised.value.detail["begun"] is False


async def test_a_command_whose_payload_is_on_its_way_is_told_that_it_was_not_begun(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = await neighbours.host(Desk)
    client = await neighbours.client()

    async def away(envelope: Any) -> None:
        await asyncio.sleep(20)

    monkeypatch.setattr(actor.peer.payloads, "whole", away)
    asked = asyncio.ensure_future(client.ask("desk", "x" * 100_000, command="read"))
    await until(lambda: bool(actor.peer._dispatch._fetching))
    await neighbours.stop("host")
    with pytest.raises(Draining) as raised:
        await asked
    assert raised.value.detail["begun"] is False


async def test_who_drains_is_done_when_it_is_stopped_before_its_first_message_was_begun(neighbours: Neighbours) -> None:
    actor = await neighbours.host(Desk)
    envelope = actor.peer.root.compose(actor.peer.ids, "command", "serve", msgspec.Raw(b"1"))
    handler, soon = actor.definition.handlers["serve"], Deadline.after(neighbours.clock, 5.0)
    actor.offer(Work(envelope, handler, NOBODY, soon))
    drained = asyncio.ensure_future(actor.drain())
    await actor.stop()
    assert not actor.active
    await asyncio.wait_for(drained, 1.0)


async def test_jobs_and_agents_have_one_grace_together(clock: Clock, ids: Ids) -> None:
    begun: list[str] = []

    @workflow("long", version=1)
    async def long(job: Job) -> None:
        begun.append("job")
        await job.step("sleep", asyncio.sleep, 600)

    @agent(timeout=600)
    async def sleeper() -> None:
        begun.append("agent")
        await asyncio.sleep(600)

    async with local_mesh(clock=clock, ids=ids) as mesh:
        await mesh.host(sleeper)
        await mesh.host_workflow(long)
        await mesh.submit("long")
        asked = asyncio.ensure_future(mesh.ask("sleeper"))
        await until(lambda: len(begun) == 2)
        began = clock.monotonic()
        await mesh.drain(10.0)
        assert 10.0 <= clock.monotonic() - began < 15.0
        await asyncio.gather(asked, return_exceptions=True)
