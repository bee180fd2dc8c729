"""Cancelling a command: by its caller only, wherever it is, and with no harm to the messages around it."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.peer import Peer
from mesh.actors.running.actor import Actor
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import Cancelled
from mesh.resilience.deadline import Deadline
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Sleeper(Agent):
    def __init__(self) -> None:
        self.cancelled = 0
        self.finished = 0

    @command(timeout=30)
    async def sleep(self, seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.finished += 1
        return "slept"

    @command(timeout=30)
    async def insist(self, seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            return "not me"
        return "slept"


async def cancel(peer: Peer, actor: Actor, message_id: str) -> bool:
    subject = peer.subjects.rpc(actor.peer.process, actor.definition.name, actor.instance, peer.process)
    payload = msgspec.Raw(msgspec.json.encode({"id": message_id}))
    envelope = peer.root.compose(peer.ids, "control", "cancel", payload)
    reply = await peer.exchange.ask(subject, envelope, deadline=Deadline.after(peer.clock, 1.0))
    return bool(msgspec.json.decode(reply.payload))


def sent(peer: Peer, actor: Actor, seconds: float, name: str = "sleep") -> tuple[Envelope, asyncio.Future[Envelope]]:
    subject = peer.subjects.rpc(actor.peer.process, actor.definition.name, actor.instance, peer.process)
    payload = msgspec.Raw(msgspec.json.encode(seconds))
    envelope = peer.root.compose(peer.ids, "command", name, payload, remaining=20.0)
    asked = peer.exchange.ask(subject, envelope, deadline=Deadline.after(peer.clock, 20.0))
    return envelope, asyncio.ensure_future(asked)


async def test_a_running_command_is_cancelled_and_says_so(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Sleeper), await neighbours.client()
    envelope, asked = sent(client, actor, 10.0)
    await until(lambda: actor.running == 1)
    assert await cancel(client, actor, envelope.id)
    with pytest.raises(Cancelled):
        await asked
    assert actor.target.cancelled == 1
    assert await client.ask("sleeper", 0.1, command="sleep") == "slept"


async def test_a_waiting_command_is_withdrawn(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Sleeper), await neighbours.client()
    _, first = sent(client, actor, 1.0)
    second, asked = sent(client, actor, 1.0)
    await until(lambda: actor.waiting == 1)
    assert await cancel(client, actor, second.id)
    with pytest.raises(Cancelled):
        await asked
    await first
    assert (actor.target.finished, actor.target.cancelled) == (1, 0)


async def test_the_messages_around_a_cancelled_one_are_handled(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Sleeper), await neighbours.client()
    asks = [sent(client, actor, 0.5) for _ in range(5)]
    await until(lambda: actor.waiting == 4)
    await cancel(client, actor, asks[0][0].id)
    await cancel(client, actor, asks[3][0].id)
    results = await asyncio.gather(*(asked for _, asked in asks), return_exceptions=True)
    assert [type(each).__name__ for each in results] == ["Cancelled", "Envelope", "Envelope", "Cancelled", "Envelope"]


async def test_somebody_elses_command_is_not_cancelled(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Sleeper), await neighbours.client()
    other = await neighbours.peer("other")
    envelope, asked = sent(client, actor, 1.0)
    await until(lambda: actor.running == 1)
    assert not await cancel(other, actor, envelope.id)
    await asked


async def test_what_is_over_or_unknown_is_not_cancelled(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Sleeper), await neighbours.client()
    envelope, asked = sent(client, actor, 0.1)
    await asked
    assert not await cancel(client, actor, envelope.id)
    assert not await cancel(client, actor, "no such id")


async def test_a_handler_that_will_not_be_cancelled_still_answers(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Sleeper), await neighbours.client()
    envelope, asked = sent(client, actor, 10.0, "insist")
    await until(lambda: actor.running == 1)
    await cancel(client, actor, envelope.id)
    assert msgspec.json.decode((await asked).payload) == "not me"
    assert await client.ask("sleeper", 0.1, command="sleep") == "slept"


async def test_a_caller_that_is_cancelled_cancels_what_it_asked_for(neighbours: Neighbours) -> None:
    actor, client = await neighbours.host(Sleeper), await neighbours.client()
    asked = asyncio.ensure_future(client.ask("sleeper", 10.0, command="sleep"))
    await until(lambda: actor.running == 1)
    asked.cancel()
    await until(lambda: actor.target.cancelled == 1, timeout=0.1)
    (line,) = neighbours.told("agent.call")
    assert (line["exit_status"], line["error"]) == ("semantic_failure", "cancelled")


async def test_a_command_whose_payload_is_still_on_its_way_is_not_begun(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reader(Agent):
        read: ClassVar[list[int]] = []

        @command
        async def take(self, text: str) -> None:
            self.read.append(len(text))

    actor = await neighbours.host(Reader)
    client = await neighbours.client()
    arrives, whole = asyncio.Event(), actor.peer.payloads.whole

    async def slowly(envelope: Envelope) -> Envelope:
        await arrives.wait()
        return await whole(envelope)

    monkeypatch.setattr(actor.peer.payloads, "whole", slowly)
    asked = asyncio.ensure_future(client.ask("reader", "x" * 100_000))
    await until(lambda: bool(actor.peer._dispatch._fetching))
    asked.cancel()
    await asyncio.sleep(0.1)
    arrives.set()
    await until(lambda: actor.peer.counts["cancelled"] == 1)
    assert Reader.read == []
