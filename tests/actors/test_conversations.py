"""One message, many answers: from whom they are heard, and how a conversation ends."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.actors.exchanging import conversation as module
from mesh.actors.exchanging.conversation import Conversation
from mesh.actors.exchanging.responder import answer
from mesh.actors.peer import Peer
from mesh.protocols.envelope import Sender
from mesh.protocols.errors import NoResponders, Unavailable
from mesh.protocols.ports import Message
from mesh.protocols.references import LIMIT
from mesh.resilience.deadline import Deadline
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual
CAPABILITY = "do.it"


async def answering(peer: Peer, *texts: str) -> None:
    """A process that answers each call for proposals with `texts`."""

    def heard(message: Message) -> None:
        sender = peer.subjects.parse_cfp(message.subject).sender
        inbound = peer.exchange.inbound(message, sender, capability=CAPABILITY)
        for text in texts:
            payload = msgspec.Raw(msgspec.json.encode(text))
            envelope = answer(inbound, Sender("a", "b", peer.process), peer.ids.uuid(), payload=payload)
            peer.spawn(peer.exchange.respond(inbound, envelope), "answer")

    await peer.bus.subscribe(peer.subjects.cfp_inbox(CAPABILITY), heard)


async def asked(peer: Peer, seconds: float = 1.0) -> Conversation:
    envelope = peer.root.compose(peer.ids, "act", "call-for-proposal")
    subject = peer.subjects.cfp(CAPABILITY, peer.process)
    return await peer.exchange.converse(subject, envelope, deadline=Deadline.after(peer.clock, seconds))


async def test_every_process_is_heard_under_its_own_name_until_the_deadline(neighbours: Neighbours) -> None:
    for name in ("one", "two"):
        await answering(await neighbours.peer(name), f"{name} says", "yes")
    client = await neighbours.client()
    heard = [(each.sender, msgspec.json.decode(each.envelope.payload)) async for each in await asked(client)]
    assert sorted(heard) == [("one", "one says"), ("one", "yes"), ("two", "two says"), ("two", "yes")]
    assert client.clock.monotonic() >= 1.0
    assert not client.exchange._waiting


async def test_nobody_there_is_raised_at_once(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    async with await asked(client) as conversation:
        with pytest.raises(NoResponders):
            await conversation.next()
    assert client.clock.monotonic() < 0.5


async def test_a_read_has_its_own_time_limit(neighbours: Neighbours) -> None:
    await answering(await neighbours.peer("one"))
    client = await neighbours.client()
    async with await asked(client, 10.0) as conversation:
        began = client.clock.monotonic()
        assert await conversation.next(0.5) is None
        assert client.clock.monotonic() - began == pytest.approx(0.5)


async def test_closing_ends_whoever_reads(neighbours: Neighbours) -> None:
    await answering(await neighbours.peer("one"))
    client = await neighbours.client()
    conversation = await asked(client, 100.0)
    reading = asyncio.ensure_future(conversation.next())
    await asyncio.sleep(0.1)
    conversation.close()
    conversation.close()
    assert await reading is None


async def test_leaving_the_mesh_ends_it_with_the_reason(neighbours: Neighbours) -> None:
    await answering(await neighbours.peer("one"))
    client = await neighbours.client()
    conversation = await asked(client, 100.0)
    reading = asyncio.ensure_future(conversation.next())
    await asyncio.sleep(0.1)
    await client.stop()
    with pytest.raises(Unavailable):
        await reading


async def test_large_answers_are_whole(neighbours: Neighbours) -> None:
    await answering(await neighbours.peer("one"), "x" * (2 * LIMIT))
    client = await neighbours.client()
    async with await asked(client) as conversation:
        found = await conversation.next()
    assert found is not None
    assert len(msgspec.json.decode(found.envelope.payload)) == 2 * LIMIT


async def test_a_flood_of_answers_is_bounded(neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BOUND", 10)
    await answering(await neighbours.peer("one"), *(["yes"] * 50))
    client = await neighbours.client()
    conversation = await asked(client)
    await asyncio.sleep(0.5)
    assert conversation.dropped == 40
    conversation.close()


async def test_a_tell_is_answered_by_nobody(neighbours: Neighbours) -> None:
    one = await neighbours.peer("one")
    await answering(one, "yes")
    client = await neighbours.client()
    envelope = client.root.compose(client.ids, "act", "call-for-proposal")
    await client.exchange.send(client.subjects.cfp(CAPABILITY, client.process), envelope)
    await asyncio.sleep(0.5)
    assert client.exchange.counts.total() == 0
