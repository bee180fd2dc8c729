from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from mesh.protocols.errors import MeshError, Unavailable
from mesh.protocols.ports import Delivery, Store, StreamSpec
from mesh.transport.connection import Connection
from tests.contract.places import Place, eventually, eventually_none


@pytest.fixture
async def store(here: Connection, space: str) -> Store:
    await here.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",)))
    return here.store


def _delivered(delivery: Delivery | None) -> Delivery:
    assert delivery is not None
    return delivery


async def test_messages_come_in_order_and_an_acked_one_never_again(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"1")
    await store.append(f"{space}.a", b"2")
    consumer = await store.consumer(space, "work", (f"{space}.>",), ack_wait=1)
    for expected in (b"1", b"2"):
        delivery = _delivered(await consumer.next(30))
        assert (delivery.message.data, delivery.attempts) == (expected, 1)
        await delivery.ack()
    assert await consumer.next(1.5) is None
    await consumer.close()


async def test_waiting_ends_as_soon_as_a_message_comes(store: Store, space: str) -> None:
    consumer = await store.consumer(space, "work", (f"{space}.>",))
    waiting = asyncio.ensure_future(consumer.next(30))
    await asyncio.sleep(0.05)
    await store.append(f"{space}.a", b"1")
    delivery = _delivered(await asyncio.wait_for(waiting, 25))
    await delivery.ack()
    await consumer.close()


async def test_waiting_for_nothing_ends_in_time(store: Store, space: str) -> None:
    consumer = await store.consumer(space, "work", (f"{space}.>",))
    started = time.monotonic()
    assert await consumer.next(0.2) is None
    assert 0.15 < time.monotonic() - started < 25
    await consumer.close()


async def test_a_consumer_hears_only_its_subjects(store: Store, space: str) -> None:
    for subject in ("a.1", "b.1", "c.1"):
        await store.append(f"{space}.{subject}", subject.encode())
    consumer = await store.consumer(space, "work", (f"{space}.a.*", f"{space}.c.*"))
    heard = [_delivered(await consumer.next(30)) for _ in range(2)]
    assert [delivery.message.data for delivery in heard] == [b"a.1", b"c.1"]
    assert await consumer.next(0.1) is None
    await consumer.close()


async def test_all_who_open_a_consumer_share_its_messages(
    here: Connection, there: Connection, store: Store, space: str
) -> None:
    first = await here.store.consumer(space, "work", (f"{space}.>",))
    second = await there.store.consumer(space, "work", (f"{space}.>",))
    for number in range(10):
        await store.append(f"{space}.a", b"%d" % number)
    heard = [_delivered(await consumer.next(30)).message.data for _ in range(5) for consumer in (first, second)]
    assert sorted(heard) == [b"%d" % number for number in range(10)]
    assert await first.next(0.1) is None
    await first.close()
    await second.close()


async def test_many_can_wait_at_once(store: Store, space: str) -> None:
    consumer = await store.consumer(space, "work", (f"{space}.>",))
    waiting = [asyncio.ensure_future(consumer.next(30)) for _ in range(20)]
    await asyncio.gather(*(store.append(f"{space}.a", b"%d" % n) for n in range(20)))
    heard = [_delivered(delivery).message.sequence for delivery in await asyncio.gather(*waiting)]
    assert sorted(heard) == list(range(1, 21))
    await consumer.close()


async def test_an_unacked_message_comes_again_after_its_time(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"1")
    consumer = await store.consumer(space, "work", (f"{space}.>",), ack_wait=0.3)
    assert _delivered(await consumer.next(30)).attempts == 1
    again = _delivered(await consumer.next(30))
    assert (again.message.data, again.attempts) == (b"1", 2)
    await again.ack()
    await consumer.close()


async def test_working_postpones_the_redelivery(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"1")
    consumer = await store.consumer(space, "work", (f"{space}.>",), ack_wait=2.5)
    delivery = _delivered(await consumer.next(30))
    for _ in range(14):
        await asyncio.sleep(0.2)
        await delivery.working()
    assert await consumer.next(0.2) is None
    await delivery.ack()
    await consumer.close()


async def test_retry_delivers_again_and_not_before_its_delay(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"1")
    consumer = await store.consumer(space, "work", (f"{space}.>",))
    await _delivered(await consumer.next(30)).retry()
    second = _delivered(await consumer.next(30))
    assert second.attempts == 2
    started = time.monotonic()
    await second.retry(after=0.4)
    third = _delivered(await consumer.next(30))
    assert third.attempts == 3
    assert time.monotonic() - started > 0.3
    await consumer.close()


async def test_what_was_given_up_never_comes_again(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"1")
    consumer = await store.consumer(space, "work", (f"{space}.>",), ack_wait=1)
    await _delivered(await consumer.next(30)).give_up()
    assert await consumer.next(1.3) is None
    await consumer.close()


async def take(delivery: Delivery | None, seen: list[tuple[bytes, int]]) -> None:
    """Note it, and let it come again unless it is a good one."""
    message = _delivered(delivery).message
    seen.append((message.data, _delivered(delivery).attempts))
    if message.data == b"good":
        await _delivered(delivery).ack()


async def test_a_message_has_a_last_attempt(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"poison")
    await store.append(f"{space}.a", b"good")
    consumer = await store.consumer(space, "work", (f"{space}.>",), ack_wait=0.2, max_deliver=2)
    seen: list[tuple[bytes, int]] = []
    while (b"poison", 2) not in seen or not {b"good"} & {data for data, _ in seen}:
        await take(await consumer.next(30), seen)
    while (delivery := await consumer.next(1.0)) is not None:
        await take(delivery, seen)
    assert [attempts for data, attempts in seen if data == b"poison"] == [1, 2]
    await consumer.close()


async def test_without_a_last_attempt_a_message_comes_again_and_again(store: Store, space: str) -> None:
    await store.append(f"{space}.a", b"1")
    consumer = await store.consumer(space, "work", (f"{space}.>",), max_deliver=-1)
    for attempt in range(1, 12):
        delivery = _delivered(await consumer.next(30))
        assert delivery.attempts == attempt
        await delivery.retry()
    await consumer.close()


async def test_a_cancelled_wait_loses_no_message(store: Store, space: str) -> None:
    consumer = await store.consumer(space, "work", (f"{space}.>",), ack_wait=20)
    waiting = asyncio.ensure_future(consumer.next(10))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await store.append(f"{space}.a", b"1")
    assert _delivered(await asyncio.wait_for(consumer.next(15), 15)).message.data == b"1"
    await consumer.close()


async def test_a_cancelled_wait_takes_no_message_from_others(
    here: Connection, there: Connection, store: Store, space: str
) -> None:
    mine = await here.store.consumer(space, "work", (f"{space}.>",), ack_wait=30)
    theirs = await there.store.consumer(space, "work", (f"{space}.>",), ack_wait=30)
    waiting = asyncio.ensure_future(mine.next(20))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await here.bus.flush()
    await store.append(f"{space}.a", b"1")
    delivery = _delivered(await theirs.next(30))
    assert (delivery.message.data, delivery.attempts) == (b"1", 1)
    await mine.close()
    await theirs.close()


async def test_waits_that_end_one_after_the_other_lose_no_message(store: Store, space: str) -> None:
    consumer = await store.consumer(space, "work", (f"{space}.>",), ack_wait=30)
    heard: list[bytes] = []

    async def work() -> None:
        while len(heard) < 200:
            delivery = await consumer.next(0.1)
            if delivery is not None:
                heard.append(delivery.message.data)
                await delivery.ack()

    workers = [asyncio.ensure_future(work()) for _ in range(3)]
    for number in range(200):
        await store.append(f"{space}.a", b"%d" % number)
        await asyncio.sleep(0.002)
    await asyncio.wait_for(asyncio.gather(*workers), 28)
    assert sorted(heard) == sorted(b"%d" % number for number in range(200))
    await consumer.close()


async def test_a_work_queue_forgets_what_was_acked(here: Connection, space: str) -> None:
    await here.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",), retention="workqueue"))
    await here.store.append(f"{space}.a", b"1")
    consumer = await here.store.consumer(space, "work", (f"{space}.>",))
    await _delivered(await consumer.next(30)).ack()
    await eventually_none(lambda: here.store.read(space, f"{space}.>"))
    await consumer.close()


async def test_a_closed_consumer_is_over_for_who_closed_it_only(
    here: Connection, there: Connection, store: Store, space: str
) -> None:
    mine = await here.store.consumer(space, "work", (f"{space}.>",))
    theirs = await there.store.consumer(space, "work", (f"{space}.>",))
    await mine.close()
    await mine.close()
    with pytest.raises(Unavailable):
        await mine.next(1)
    await store.append(f"{space}.a", b"1")
    assert _delivered(await theirs.next(30)).message.data == b"1"
    await theirs.close()


async def _fill(store: Store, space: str, count: int) -> None:
    await asyncio.gather(*(store.append(f"{space}.a", b"%d" % number, timeout=60) for number in range(count)))


async def test_who_fetches_ahead_gets_every_message_once_and_in_order(store: Store, space: str) -> None:
    await _fill(store, space, 500)
    consumer = await store.consumer(space, "work", (f"{space}.>",), ack_wait=30, prefetch=64)
    for sequence in range(1, 501):
        delivery = _delivered(await consumer.next(30))
        assert (delivery.message.sequence, delivery.attempts) == (sequence, 1)
        await delivery.ack()
    assert await consumer.next(0.2) is None
    await consumer.close()


async def test_many_who_ack_at_once_are_all_heard(store: Store, space: str) -> None:
    await _fill(store, space, 200)
    consumer = await store.consumer(space, "work", (f"{space}.>",), ack_wait=60, prefetch=64)
    deliveries = [_delivered(await consumer.next(30)) for _ in range(200)]
    await asyncio.gather(*(delivery.ack() for delivery in deliveries))

    async def unheard() -> bool:
        return await store.handled(space, "work") < 200

    await eventually_none(unheard)
    await consumer.close()


async def test_a_cancelled_ack_leaves_those_of_the_same_moment_alone(store: Store, space: str) -> None:
    await _fill(store, space, 3)
    consumer = await store.consumer(space, "work", (f"{space}.>",), ack_wait=2)
    deliveries = [_delivered(await consumer.next(30)) for _ in range(3)]
    acks = [asyncio.ensure_future(delivery.ack()) for delivery in deliveries]
    acks[1].cancel()
    results = await asyncio.gather(*acks, return_exceptions=True)
    assert [result is None for result in results] == [True, False, True]
    heard = await consumer.next(2.5)
    assert heard is None or heard.message.sequence == 2
    await consumer.close()


async def test_what_was_fetched_ahead_and_nobody_asks_for_goes_to_the_others(
    here: Connection, there: Connection, store: Store, space: str
) -> None:
    await _fill(store, space, 100)
    idle = await here.store.consumer(space, "work", (f"{space}.>",), ack_wait=60, prefetch=64)
    for _ in range(20):
        await _delivered(await idle.next(30)).ack()
    busy = await there.store.consumer(space, "work", (f"{space}.>",), ack_wait=60, prefetch=64)
    heard = [_delivered(await busy.next(30)) for _ in range(80)]
    assert sorted(delivery.message.sequence for delivery in heard) == list(range(21, 101))
    await idle.close()
    await busy.close()


async def test_what_a_slow_caller_has_fetched_ahead_goes_to_the_others(
    here: Connection, there: Connection, store: Store, space: str
) -> None:
    await _fill(store, space, 100)
    slow = await here.store.consumer(space, "work", (f"{space}.>",), ack_wait=60, prefetch=64)
    other = await there.store.consumer(space, "work", (f"{space}.>",), ack_wait=60, prefetch=64)
    heard = [_delivered(await slow.next(30)).message.sequence for _ in range(20)]
    by_other: list[int] = []

    async def dawdle() -> None:
        while len(heard) + len(by_other) < 100:
            delivery = await slow.next(0.2)
            if delivery is not None:
                heard.append(delivery.message.sequence)
            await asyncio.sleep(0.3)

    dawdling = asyncio.ensure_future(dawdle())
    while len(heard) + len(by_other) < 100:
        delivery = await other.next(0.5)
        if delivery is not None:
            by_other.append(delivery.message.sequence)
    await dawdling
    assert sorted(heard + by_other) == list(range(1, 101))
    assert len(by_other) > 50
    await slow.close()
    await other.close()


async def test_who_leaves_gives_back_what_was_fetched_ahead(
    here: Connection, there: Connection, store: Store, space: str
) -> None:
    await _fill(store, space, 100)
    leaving = await here.store.consumer(space, "work", (f"{space}.>",), ack_wait=60, prefetch=64)
    held = [_delivered(await leaving.next(30)) for _ in range(20)]
    await leaving.close()
    staying = await there.store.consumer(space, "work", (f"{space}.>",), ack_wait=60, prefetch=64)
    heard = [_delivered(await staying.next(30)) for _ in range(80)]
    assert sorted(delivery.message.sequence for delivery in heard) == list(range(21, 101))
    for delivery in held:
        await delivery.ack()
    assert await staying.next(0.3) is None
    await staying.close()


async def test_what_is_fetched_ahead_waits_for_nobody_who_works_slowly(
    here: Connection, there: Connection, store: Store, space: str
) -> None:
    await _fill(store, space, 3)
    slow = await here.store.consumer(space, "work", (f"{space}.>",), ack_wait=60, prefetch=64)
    quick = await there.store.consumer(space, "work", (f"{space}.>",), ack_wait=60, prefetch=64)
    first = _delivered(await slow.next(30))
    others = [_delivered(await quick.next(30)) for _ in range(2)]
    assert [(each.message.sequence, each.attempts) for each in (first, *others)] == [(1, 1), (2, 1), (3, 1)]
    await slow.close()
    await quick.close()


@pytest.mark.fault
async def test_fetching_ahead_over_a_restart_loses_nothing(breakable: Place, space: str) -> None:
    here = await breakable.connect("here")
    await here.store.ensure_stream(StreamSpec(name=space, subjects=(f"{space}.>",)))
    await _fill(here.store, space, 1000)
    consumer = await here.store.consumer(space, "work", (f"{space}.>",), ack_wait=1, prefetch=64)
    heard: set[int] = set()

    async def work() -> None:
        while len(heard) < 1000:
            with suppress(MeshError):
                delivery = await consumer.next(0.5)
                if delivery is not None:
                    heard.add(delivery.message.sequence)
                    await delivery.ack()
            await asyncio.sleep(0)

    workers = [asyncio.ensure_future(work()) for _ in range(8)]
    await eventually(lambda: len(heard) > 200)
    await breakable.stop()
    await breakable.start()
    await asyncio.wait_for(asyncio.gather(*workers), 40)
    assert heard == set(range(1, 1001))
    await consumer.close()
