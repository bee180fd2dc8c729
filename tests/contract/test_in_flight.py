"""What is on its way when the connection goes: appends, acks and overlapping pulls behind a cable that is severed and cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
import pytest

from mesh.protocols.errors import MeshError, TimedOut, Unavailable
from mesh.protocols.ports import Consumer, Delivery, StreamSpec
from mesh.settings.target import ServerTarget
from mesh.transport.connection import Connection, connect
from mesh.transport.nats import acks
from mesh.transport.nats.api import call
from mesh.transport.nats.bus import NatsBus
from tests.contract.places import eventually
from tests.faults.cable import Cable
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]


@pytest.fixture
async def cable(shared_server: RealServer) -> AsyncIterator[Cable]:
    async with Cable(shared_server.port) as made:
        yield made


@pytest.fixture
async def far(cable: Cable, space: str) -> AsyncIterator[Connection]:
    """A connection over the cable, and a stream."""
    async with await connect(ServerTarget(url=cable.url), name="far") as made:
        await made.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",)))
        yield made


async def test_appends_in_flight_when_the_connection_is_lost_all_end_and_say_to_read_back(
    far: Connection, cable: Cable, space: str
) -> None:
    cable.sever()
    appends = [asyncio.ensure_future(far.store.append(f"{space}.{n}", b"", expected=0, timeout=60)) for n in range(200)]
    await asyncio.sleep(0.01)
    cable.cut()
    results = await asyncio.wait_for(asyncio.gather(*appends, return_exceptions=True), 30)
    assert {type(result) for result in results} == {TimedOut}
    assert all("read back" in str(result) for result in results)


async def test_an_append_whose_ack_is_late_times_out_and_is_found_by_reading_back(
    far: Connection, cable: Cable, space: str
) -> None:
    cable.sever()
    with pytest.raises(TimedOut):
        await far.store.append(f"{space}.a", b"1", expected=0, timeout=0.1)
    cable.mend()
    await far.bus.flush()
    assert [stored.data for stored in await far.store.read(space, f"{space}.a")] == [b"1"]
    assert (await far.store.append(f"{space}.a", b"2", expected=1)).sequence == 2


async def test_an_append_that_was_cancelled_leaves_its_neighbours_alone(far: Connection, space: str) -> None:
    appends = [asyncio.ensure_future(far.store.append(f"{space}.{n}", b"", expected=0)) for n in range(20)]
    await asyncio.sleep(0)
    appends[7].cancel()
    results = await asyncio.gather(*appends, return_exceptions=True)
    assert [number for number, result in enumerate(results) if isinstance(result, BaseException)] == [7]


async def test_acks_in_flight_when_the_connection_is_lost_all_end_and_their_messages_come_again(
    far: Connection, cable: Cable, space: str
) -> None:
    await asyncio.gather(*(far.store.append(f"{space}.a", b"%d" % n, timeout=60) for n in range(20)))
    consumer = await far.store.consumer(space, "work", (f"{space}.>",), ack_wait=1, prefetch=64)
    deliveries = [await _next(consumer) for _ in range(20)]
    cable.sever()
    attempts = [asyncio.ensure_future(delivery.ack()) for delivery in deliveries]
    await asyncio.sleep(0.01)
    cable.cut()
    results = await asyncio.wait_for(asyncio.gather(*attempts, return_exceptions=True), 30)
    assert {type(result) for result in results} == {Unavailable}
    await eventually(lambda: far.bus.connected)
    again: set[int] = set()
    while len(again) < 20:  # a copy of what was not taken in time is no fault
        delivery = await _next(consumer)
        assert delivery.attempts > 1
        again.add(delivery.message.sequence)
        await delivery.ack()
    assert again == set(range(1, 21))
    await consumer.close()


async def test_acks_that_nobody_confirms_time_out_together(
    far: Connection, cable: Cable, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "ACK_WITHIN", 0.1)
    await asyncio.gather(*(far.store.append(f"{space}.a", b"%d" % n, timeout=60) for n in range(5)))
    consumer = await far.store.consumer(space, "work", (f"{space}.>",))
    deliveries = [await _next(consumer) for _ in range(5)]
    cable.sever()
    results = await asyncio.gather(*(delivery.ack() for delivery in deliveries), return_exceptions=True)
    assert {type(result) for result in results} == {TimedOut}
    cable.mend()
    await consumer.close()


async def test_overlapping_pulls_over_reconnects_lose_nothing_and_repeat_only_what_was_not_confirmed(
    far: Connection, cable: Cable, space: str
) -> None:
    count = 1500
    await asyncio.gather(*(far.store.append(f"{space}.a", b"", timeout=60) for _ in range(count)))
    consumer = await far.store.consumer(space, "work", (f"{space}.>",), ack_wait=4, prefetch=128)
    heard: set[int] = set()
    confirmed: set[int] = set()
    wrong: list[tuple[int, int]] = []

    async def work() -> None:
        idle = False
        while not (idle and len(heard) == count):
            with suppress(MeshError):
                delivery = await consumer.next(2.5)
                idle = delivery is None
                if delivery is not None:
                    await take(delivery)

    async def take(delivery: Delivery) -> None:
        sequence = delivery.message.sequence
        if sequence in confirmed or (sequence in heard and delivery.attempts == 1):
            wrong.append((sequence, delivery.attempts))
        heard.add(sequence)
        await delivery.ack()
        confirmed.add(sequence)

    workers = [asyncio.ensure_future(work()) for _ in range(16)]
    for share in (150, 450, 750):
        await _until(confirmed, share)
        cable.cut()
    await asyncio.wait_for(asyncio.gather(*workers), 60)
    assert (len(heard), wrong) == (count, [])
    await consumer.close()


async def _until(found: set[int], count: int) -> None:
    await eventually(lambda: len(found) > count, timeout=30)


async def _next(consumer: Consumer) -> Delivery:
    delivery = await consumer.next(30)
    assert delivery is not None
    return delivery


async def test_who_follows_what_is_new_misses_nothing_while_he_is_away_even_where_nothing_has_come_yet(
    far: Connection, shared_server: RealServer, cable: Cable, space: str
) -> None:
    async with await connect(ServerTarget(url=shared_server.url), name="near") as near:
        await near.store.append(f"{space}.a", b"old")
        followed = far.store.follow(space, f"{space}.>", after=None)
        first = asyncio.ensure_future(anext(followed))
        await _consumed(near, space)
        cable.cut()
        cable.sever()
        await eventually(lambda: not far.bus.connected)
        await _forget_consumers(near, space)
        await near.store.append(f"{space}.a", b"while away")
        cable.mend()
        assert (await asyncio.wait_for(first, 30)).data == b"while away"
        await followed.aclose()  # type: ignore[attr-defined]


async def _forget_consumers(connection: Connection, stream: str) -> None:
    """What the server does when it restarts, or has not heard of them for some seconds."""
    bus = connection.bus
    assert isinstance(bus, NatsBus)
    for name in msgspec.json.decode(await call(bus, f"CONSUMER.NAMES.{stream}"))["consumers"]:
        await call(bus, f"CONSUMER.DELETE.{stream}.{name}")


async def _consumed(connection: Connection, stream: str) -> None:
    """Until somebody consumes the stream."""
    bus = connection.bus
    assert isinstance(bus, NatsBus)
    async with asyncio.timeout(30):
        while b'"consumer_count":0' in await call(bus, f"STREAM.INFO.{stream}"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
