"""The server is killed under running clients and comes back on the same port and store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from mesh.protocols.errors import Overloaded, TimedOut, Transient, Unavailable
from mesh.protocols.ports import BucketSpec, KeyValue, Message, StreamSpec
from mesh.transport.connection import Connection
from tests.contract.places import Place, eventually

pytestmark = pytest.mark.fault
T = TypeVar("T")


async def test_subscriptions_are_there_again_after_a_restart(breakable: Place) -> None:
    here, there = await breakable.connect("here"), await breakable.connect("there")
    heard: list[bytes] = []
    await there.bus.subscribe("a", lambda m: heard.append(m.data))
    await breakable.stop()
    await breakable.start()
    await there.bus.flush()
    here.bus.publish("a", b"after")
    await eventually(lambda: heard == [b"after"])


async def test_loss_and_return_are_told_once_each_and_the_identity_changes(breakable: Place) -> None:
    here = await breakable.connect("here")
    told: list[str] = []

    async def returned() -> None:
        await here.bus.flush()
        told.append("back")

    here.bus.on_disconnect(lambda: told.append("lost"))
    here.bus.on_reconnect(returned)
    before = here.bus.client
    await breakable.stop()
    await eventually(lambda: told == ["lost"])
    assert not here.bus.connected
    await breakable.start()
    await eventually(lambda: told == ["lost", "back"])
    assert here.bus.client != before


async def test_a_callback_that_raises_does_not_keep_others_from_being_told(breakable: Place) -> None:
    here = await breakable.connect("here")
    told: list[str] = []

    def broken() -> None:
        raise ValueError("broken callback")

    here.bus.on_disconnect(broken)
    here.bus.on_disconnect(lambda: told.append("lost"))
    here.bus.on_reconnect(broken)
    here.bus.on_reconnect(lambda: told.append("back"))
    await breakable.stop()
    await breakable.start()
    await eventually(lambda: told == ["lost", "back"])


async def test_a_request_in_flight_fails_typed_and_at_once(breakable: Place) -> None:
    here, there = await breakable.connect("here"), await breakable.connect("there")
    await there.bus.subscribe("a", lambda m: None)
    question = asyncio.ensure_future(here.bus.request("a", b"", timeout=30))
    await here.bus.flush()
    await breakable.stop()
    with pytest.raises((Unavailable, TimedOut)):
        await asyncio.wait_for(question, 25)


async def test_while_the_server_is_away_questions_fail_at_once(breakable: Place) -> None:
    here = await breakable.connect("here")
    await here.store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
    bucket = await here.store.bucket(BucketSpec(name="B"))
    await breakable.stop()
    for attempt in (
        here.bus.request("a", b"", timeout=30),
        here.bus.flush(30),
        here.bus.subscribe("a", lambda m: None),
        here.store.append("s.a", b"", timeout=30),
        bucket.put("k", b""),
        bucket.get("k"),
        bucket.all(),
        here.store.read("S", "s.>"),
        here.store.last("S", "s.a"),
        here.store.last_each("S", "s.>"),
    ):
        with pytest.raises(Unavailable):
            await asyncio.wait_for(attempt, 25)


async def test_what_is_published_meanwhile_leaves_after_the_return(breakable: Place) -> None:
    here = await breakable.connect("here")
    heard: list[bytes] = []
    await here.bus.subscribe("a", lambda m: heard.append(m.data))
    await breakable.stop()
    here.bus.publish("a", b"1")
    here.bus.publish("a", b"2")
    await breakable.start()
    await eventually(lambda: heard == [b"1", b"2"])


async def test_whoever_waits_for_the_server_hears_of_its_return_or_of_the_end(breakable: Place) -> None:
    here = await breakable.connect("here")
    await here.bus.until_connected()
    for back in (True, False):
        await breakable.stop()
        await eventually(lambda: not here.bus.connected)
        waiting = asyncio.ensure_future(here.bus.until_connected())
        if back:
            await breakable.start()
            await waiting
            assert here.bus.connected
        else:
            await here.close()
            with pytest.raises(Unavailable):
                await waiting


async def test_what_waits_for_the_server_is_bounded(breakable: Place) -> None:
    here = await breakable.connect("here")
    await breakable.stop()
    with pytest.raises(Overloaded):
        _publish_without_end(here)
    await breakable.start()


async def test_an_append_interrupted_by_a_crash_is_timed_out_or_stored(breakable: Place) -> None:
    here = await breakable.connect("here")
    await here.store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
    appends = [asyncio.ensure_future(here.store.append("s.a", b"%d" % n, message_id=f"m{n}")) for n in range(50)]
    await asyncio.sleep(0)
    await breakable.stop()
    results = await asyncio.gather(*appends, return_exceptions=True)
    await breakable.start()
    stored = {message.data for message in await here.store.read("S", "s.a")}
    for number, result in enumerate(results):
        if isinstance(result, BaseException):
            assert isinstance(result, (TimedOut, Unavailable))
        else:
            assert b"%d" % number in stored


async def test_a_file_stream_survives_and_following_it_goes_on_without_a_gap(breakable: Place) -> None:
    here, there = await breakable.connect("here"), await breakable.connect("there")
    await here.store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
    await here.store.append("s.a", b"1")
    followed = there.store.follow("S", "s.a")
    assert (await anext(followed)).data == b"1"
    waiting = asyncio.ensure_future(anext(followed))
    await breakable.stop()
    await breakable.start()
    await _insist(lambda: here.store.append("s.a", b"2", message_id="2"))
    await _insist(lambda: here.store.append("s.a", b"3", message_id="3"))
    assert (await asyncio.wait_for(waiting, 25)).data == b"2"
    assert (await asyncio.wait_for(anext(followed), 30)).data == b"3"
    await followed.aclose()  # type: ignore[attr-defined]


async def test_a_waiting_consumer_goes_on_after_a_restart(breakable: Place) -> None:
    here = await breakable.connect("here")
    await here.store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
    consumer = await here.store.consumer("S", "work", ("s.>",))
    waiting = asyncio.ensure_future(consumer.next(30))
    await asyncio.sleep(0.05)
    await breakable.stop()
    await breakable.start()
    await _insist(lambda: here.store.append("s.a", b"1", message_id="1"))
    delivery = await asyncio.wait_for(waiting, 25)
    assert delivery is not None
    await delivery.ack()
    await consumer.close()


async def test_a_watch_on_a_lost_memory_bucket_goes_on_on_the_new_one(breakable: Place) -> None:
    here, there = await breakable.connect("here"), await breakable.connect("there")
    bucket = await here.store.bucket(BucketSpec(name="B"))
    await bucket.put("a", b"1")
    await bucket.put("b", b"1")
    heard: list[KeyValue] = []
    watch = await (await there.store.bucket(BucketSpec(name="B"))).watch(heard.append)
    await watch.current
    await breakable.stop()
    await breakable.start()
    await eventually(lambda: {e.key for e in heard if e.value is None} == {"a", "b"})
    del heard[:]
    await _insist(lambda: bucket.put("b", b"2", revision=0))
    await eventually(lambda: [(e.key, e.value) for e in heard] == [("b", b"2")])
    await watch.close()


async def test_a_watch_on_a_file_bucket_tells_only_what_changed_meanwhile(breakable: Place) -> None:
    here, there = await breakable.connect("here"), await breakable.connect("there")
    spec = BucketSpec(name="B", storage="file")
    bucket = await here.store.bucket(spec)
    await bucket.put("a", b"1")
    await bucket.put("b", b"1")
    heard: list[KeyValue] = []
    watch = await (await there.store.bucket(spec)).watch(heard.append)
    await watch.current
    del heard[:]
    await breakable.stop()
    await breakable.start()
    await _insist(lambda: bucket.put("b", b"2"))
    await eventually(lambda: heard)
    assert [(entry.key, entry.value) for entry in heard] == [("b", b"2")]
    await watch.close()


async def test_a_bucket_that_was_lost_is_made_anew_by_whoever_needs_it(breakable: Place) -> None:
    here = await breakable.connect("here")
    bucket = await here.store.bucket(BucketSpec(name="B"))
    await bucket.put("a", b"1")
    await breakable.stop()
    await breakable.start()
    assert await _insist(lambda: bucket.get("a")) is None
    assert await _insist(lambda: bucket.put("a", b"2", revision=0)) >= 1


async def test_objects_survive(breakable: Place) -> None:
    here = await breakable.connect("here")
    objects = await here.store.objects("O")
    digest = await objects.put(b"z" * 200_000)
    await breakable.stop()
    await breakable.start()
    assert await _insist(lambda: objects.get(digest)) == b"z" * 200_000


async def test_closing_while_the_server_is_away_ends_at_once(breakable: Place) -> None:
    here = await breakable.connect("here")
    heard: list[Message] = []
    await here.bus.subscribe("a", heard.append)
    await breakable.stop()
    await asyncio.wait_for(here.close(), 25)
    with pytest.raises(Unavailable):
        here.bus.publish("a", b"")


async def _insist(attempt: Callable[[], Awaitable[T]]) -> T:
    """What every caller of a store does after an outage: try again while trying again may help."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await attempt()
            except Transient:
                await asyncio.sleep(0.02)


def _publish_without_end(connection: Connection) -> None:
    for _ in range(1000):
        connection.bus.publish("a", bytes(1_000_000))
