"""Events that nobody stores: heard now or never, by everybody who listens, alone or many in a message."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import on_event
from mesh.actors.events.batch import MOST
from mesh.actors.events.event import Event
from mesh.actors.peer import Peer
from mesh.actors.running.context import Context
from mesh.protocols.envelope import Envelope, decode, encode
from mesh.protocols.errors import BadPayload, InvalidName, TooLarge, Unavailable
from mesh.protocols.ports import Message
from mesh.testing.virtual_time import until
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


@pytest.fixture(params=[True, False], ids=["batches", "one-by-one"])
def batches(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class Reading(msgspec.Struct):
    number: int


class Gauge(Agent):
    def __init__(self) -> None:
        self.heard: list[int] = []

    @on_event("reading.*")
    async def reading(self, event: Reading) -> None:
        self.heard.append(event.number)


@agent
async def probe(number: int, ctx: Context) -> None:
    await ctx.emit("reading.taken", Reading(number), stored=False)


async def _stored(neighbours: Neighbours) -> int:
    peer = await neighbours.peer("client")
    await peer.events.ensure()
    return len(await peer.store.read(peer.events.stream, peer.subjects.event_filter()))


async def test_it_is_heard_by_handlers_and_subscribers_and_stored_by_nobody(
    neighbours: Neighbours, batches: bool
) -> None:
    client = await neighbours.peer("client", event_batches=batches)
    gauge = await neighbours.host(Gauge)
    events: list[Event] = []
    await client.events.subscribe(events.append, "reading.>")
    assert [await client.emit("reading.taken", Reading(number), stored=False) for number in range(200)] == [0] * 200
    await until(lambda: len(gauge.target.heard) == len(events) == 200)
    assert gauge.target.heard == list(range(200)) == [event.payload["number"] for event in events]
    assert {(event.type, event.agent, event.tenant, event.sequence) for event in events} == {
        ("reading.taken", "client", "default", 0)
    }
    assert len({event.envelope.id for event in events}) == 200
    assert all(event.envelope.correlation == event.envelope.id for event in events)
    assert await _stored(neighbours) == 0


async def test_stored_and_unstored_events_are_heard_with_one_subscription(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    events: list[Event] = []
    subscription = await client.events.subscribe(events.append)
    await client.emit("a", 1)
    await client.emit("a", 2, stored=False)
    await until(lambda: len(events) == 2)
    assert sorted(event.payload for event in events) == [1, 2]
    assert await _stored(neighbours) == 1
    await subscription.close()
    await client.emit("a", 3)
    await client.emit("a", 4, stored=False)
    await asyncio.sleep(1)
    assert len(events) == 2


async def test_a_handler_passes_its_correlation_on(neighbours: Neighbours, batches: bool) -> None:
    await neighbours.host(probe, process="probes")
    client = await neighbours.client()
    events: list[Event] = []
    await client.events.subscribe(events.append, agent="probe")
    await client.ask("probe", 7)
    await until(lambda: bool(events))
    (call,) = neighbours.told("agent.call")
    assert events[0].envelope.correlation == call["correlation"]
    assert events[0].envelope.causation == call["causation"]
    assert (events[0].envelope.hops, events[0].payload) == (1, {"number": 7})


# -- on the wire


async def _wire(neighbours: Neighbours) -> list[Message]:
    messages: list[Message] = []
    await neighbours.server.connect("wire").bus.subscribe("mesh.default.now.>", messages.append)
    return messages


def _numbers(message: Message) -> list[int]:
    envelopes = (
        msgspec.json.decode(message.data, type=list[Envelope])
        if message.data.startswith(b"[")
        else [decode(message.data)]
    )
    return [msgspec.json.decode(each.payload) for each in envelopes]


async def test_a_lone_event_leaves_at_once_and_as_a_plain_envelope(neighbours: Neighbours) -> None:
    client, messages = await neighbours.client(), await _wire(neighbours)
    for number in range(3):
        await client.emit("n", number, stored=False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [_numbers(each) for each in messages] == [[each] for each in range(number + 1)]
        await asyncio.sleep(0.005)
    assert all(message.data.startswith(b"{") for message in messages)


async def test_those_that_follow_within_a_millisecond_leave_together(neighbours: Neighbours) -> None:
    client, messages = await neighbours.client(), await _wire(neighbours)
    for number in range(4):
        await client.emit("n", number, stored=False)
        await asyncio.sleep(0.0002)
    assert [_numbers(each) for each in messages] == [[0]]
    await asyncio.sleep(0.01)
    assert [_numbers(each) for each in messages] == [[0], [1, 2, 3]]
    await client.emit("n", 4, stored=False)
    await asyncio.sleep(0.01)
    assert [_numbers(each) for each in messages] == [[0], [1, 2, 3], [4]]


async def test_a_message_holds_so_many_events_and_bytes_and_no_more(neighbours: Neighbours) -> None:
    client, messages = await neighbours.client(), await _wire(neighbours)
    for number in range(2 * MOST + 2):
        await client.emit("n", number, stored=False)
    await asyncio.sleep(0.01)
    assert [len(_numbers(each)) for each in messages] == [1, MOST, MOST, 1]
    messages.clear()
    for size in (3_000,) * 40 + (30_000,) * 2:
        await client.emit("large", "x" * size, stored=False)
    await asyncio.sleep(0.01)
    assert [len(_numbers(each)) for each in messages] == [1, *[5] * 7, 4, 1, 1]


async def test_every_subject_has_its_own_order(neighbours: Neighbours, batches: bool) -> None:
    client = await neighbours.peer("client", event_batches=batches)
    heard: dict[str, list[int]] = {"a": [], "b": []}
    await client.events.subscribe(lambda event: heard[event.type].append(event.payload))
    for number in range(300):
        await client.emit("ab"[number % 3 == 0], number, stored=False)
        if number % 50 == 0:
            await asyncio.sleep(0.0005)
    await until(lambda: sum(map(len, heard.values())) == 300)
    assert heard["a"] == sorted(heard["a"])
    assert heard["b"] == sorted(heard["b"])


async def test_without_batches_each_is_a_message_of_its_own(neighbours: Neighbours) -> None:
    client, messages = await neighbours.peer("client", event_batches=False), await _wire(neighbours)
    for number in range(100):
        await client.emit("n", number, stored=False)
    await asyncio.sleep(0.01)
    assert [_numbers(each) for each in messages] == [[number] for number in range(100)]


async def test_what_waits_for_company_leaves_when_the_process_stops(neighbours: Neighbours) -> None:
    client, messages = await neighbours.client(), await _wire(neighbours)
    for number in range(3):
        await client.emit("n", number, stored=False)
    await client.stop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [_numbers(each) for each in messages] == [[0], [1, 2]]


async def test_what_cannot_leave_is_counted(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    for number in range(3):
        await client.emit("n", number, stored=False)
    await client.bus.close()
    await asyncio.sleep(0.01)
    assert client.counts["event-unsent"] == 2


async def _emit(client: Peer, *payloads: Any) -> None:
    for payload in payloads:
        await client.emit("n", payload, stored=False)


async def test_who_emits_more_than_can_leave_hears_of_it(neighbours: Neighbours, batches: bool) -> None:
    client = await neighbours.peer("client", event_batches=batches)
    await client.emit("n", 0, stored=False)
    await client.bus.close()
    with pytest.raises(Unavailable):
        await _emit(client, *range(MOST))
    assert client.counts["event-unsent"] == (MOST if batches else 0)
    with pytest.raises(Unavailable):
        await _emit(client, *["x" * 10_000] * 3)


# -- what cannot be emitted, and what others send


@pytest.mark.parametrize("event_type", ["", "a b", "a.*", ">", "a..b", "_x"])
async def test_its_type_must_be_able_to_stand_in_a_subject(neighbours: Neighbours, event_type: str) -> None:
    with pytest.raises(InvalidName):
        await (await neighbours.client()).emit(event_type, stored=False)


async def test_it_must_be_json_and_fit_in_a_message(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    with pytest.raises(BadPayload):
        await client.emit("x", object(), stored=False)
    with pytest.raises(TooLarge, match="emit it stored"):
        await client.emit("x", "x" * 70_000, stored=False)


async def test_one_bad_envelope_in_a_batch_costs_none_of_the_others(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    heard: list[Any] = []

    def callback(event: Event) -> None:
        heard.append(event.payload)
        if event.payload == 1:
            raise ValueError("a callback that fails")

    await client.events.subscribe(callback)
    root, ids = client.root, client.ids
    good = [encode(root.compose(ids, "event", "n", msgspec.Raw(b"%d" % number))) for number in range(3)]
    forged = encode(root.compose(ids, "command", "n"))
    later = encode(root.compose(ids, "event", "n", version=99))
    subject = client.subjects.now("default", "client", "n")
    client.bus.publish(subject, b"[%b]" % b",".join([good[0], b'"x"', good[1], forged, later, good[2]]))
    client.bus.publish(subject, b"[garbage")
    client.bus.publish(subject, b"garbage")
    client.bus.publish(client.subjects.event("default", "client", "n"), b"[%b]" % good[0])
    client.bus.publish(subject, b"[]")
    await until(lambda: client.counts["bad-event"] == 6)
    assert heard == [0, 1, 2]


async def test_a_payload_is_decoded_when_it_is_read(neighbours: Neighbours) -> None:
    client = await neighbours.client()
    heard: list[Event] = []
    await client.events.subscribe(heard.append)
    await client.emit("n", msgspec.Raw(b'{"much": 1}'), stored=False)
    await until(lambda: bool(heard))
    assert not vars(heard[0])
    assert heard[0].payload is heard[0].payload
    assert heard[0].payload == {"much": 1}
