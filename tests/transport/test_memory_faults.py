"""What only the memory server can do: trouble on demand, in virtual time."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.protocols.errors import NoResponders, TimedOut, Unavailable
from mesh.protocols.ports import BucketSpec, Clock, Ids, KeyValue, Message, StreamSpec
from mesh.transport.memory.durable import MAX_IN_HAND
from mesh.transport.memory.server import MemoryServer

pytestmark = pytest.mark.virtual


@pytest.fixture
def server(clock: Clock, ids: Ids) -> MemoryServer:
    return MemoryServer(clock, ids)


async def test_a_cut_client_is_out_of_reach_until_it_is_restored(server: MemoryServer) -> None:
    here, there = server.connect("here"), server.connect("there")
    heard: list[bytes] = []
    await there.bus.subscribe("a", lambda m: heard.append(m.data))
    server.cut("there")
    here.bus.publish("a", b"missed")
    with pytest.raises(Unavailable):
        await there.bus.request("x", b"", timeout=1)
    server.restore("there")
    here.bus.publish("a", b"heard")
    await there.bus.flush()
    assert heard == [b"heard"]


async def test_a_cut_is_announced_with_the_identity_of_the_lost_connection(server: MemoryServer) -> None:
    watcher, victim = server.connect("watcher"), server.connect("victim")
    heard: list[Message] = []
    await watcher.bus.subscribe("$SYS.ACCOUNT.MESH.DISCONNECT", heard.append)
    identity = victim.bus.client
    server.cut("victim")
    await watcher.bus.flush()
    body = msgspec.json.decode(heard[0].data)
    assert (body["server"]["id"], body["client"]["id"], body["client"]["name"]) == (*identity, "victim")
    server.restore("victim")
    assert victim.bus.client != identity


async def test_a_partition_is_not_announced(server: MemoryServer) -> None:
    watcher = server.connect("watcher")
    server.connect("victim")
    heard: list[Message] = []
    await watcher.bus.subscribe("$SYS.ACCOUNT.MESH.DISCONNECT", heard.append)
    server.cut("victim", noticed=False)
    await watcher.bus.flush()
    assert heard == []


async def test_a_killed_client_is_announced_and_flushes_nothing(server: MemoryServer) -> None:
    watcher, victim = server.connect("watcher"), server.connect("victim")
    heard: list[str] = []
    await watcher.bus.subscribe(">", lambda m: heard.append(m.subject))
    question = asyncio.ensure_future(victim.bus.request("a", b"", timeout=30))
    await asyncio.sleep(0)
    server.kill("victim")
    with pytest.raises(Unavailable):
        await question
    await watcher.bus.flush()
    assert "$SYS.ACCOUNT.MESH.DISCONNECT" in heard


async def test_a_lost_ack_is_stored_and_timed_out(server: MemoryServer, clock: Clock) -> None:
    here = server.connect()
    await here.store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
    server.faults.lose_acks("s.*")
    started = clock.monotonic()
    with pytest.raises(TimedOut):
        await here.store.append("s.a", b"1", timeout=5)
    assert clock.monotonic() - started == pytest.approx(5)
    assert [stored.data for stored in await here.store.read("S", "s.a")] == [b"1"]
    await here.store.append("s.a", b"2")


async def test_a_lost_append_is_not_stored_and_timed_out(server: MemoryServer) -> None:
    here = server.connect()
    await here.store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
    server.faults.lose_appends("s.*")
    with pytest.raises(TimedOut):
        await here.store.append("s.a", b"1")
    assert await here.store.read("S", "s.a") == []


async def test_dropped_messages_reach_nobody_as_often_as_asked(server: MemoryServer) -> None:
    here = server.connect()
    heard: list[bytes] = []
    await here.bus.subscribe("a", lambda m: heard.append(m.data))
    server.faults.drop("a", times=2)
    for data in (b"1", b"2", b"3"):
        here.bus.publish("a", data)
    await here.bus.flush()
    assert heard == [b"3"]


async def test_storage_that_is_away_answers_like_a_server_without_any(server: MemoryServer) -> None:
    here = server.connect()
    bucket = await here.store.bucket(BucketSpec(name="B"))
    server.storage.available = False
    with pytest.raises(NoResponders):
        await bucket.put("a", b"1")
    with pytest.raises(NoResponders):
        await here.store.append("s.a", b"1")
    server.storage.available = True
    await bucket.put("a", b"1")


async def test_a_cut_watcher_hears_afterwards_exactly_what_changed(server: MemoryServer, clock: Clock) -> None:
    here, there = server.connect("here"), server.connect("there")
    bucket = await here.store.bucket(BucketSpec(name="B"))
    await bucket.put("stays", b"1")
    await bucket.put("expires", b"1", ttl=5)
    heard: list[KeyValue] = []
    watch = await (await there.store.bucket(BucketSpec(name="B"))).watch(heard.append)
    await watch.current
    del heard[:]
    server.cut("there")
    await clock.sleep(10)
    await bucket.put("new", b"1")
    assert heard == []
    server.restore("there")
    await there.bus.flush()
    assert {(entry.key, entry.value) for entry in heard} == {("expires", None), ("new", b"1")}


async def test_latency_makes_questions_slow(clock: Clock, ids: Ids) -> None:
    server = MemoryServer(clock, ids, latency=0.25)
    here = server.connect()
    bucket = await here.store.bucket(BucketSpec(name="B"))
    started = clock.monotonic()
    await bucket.put("a", b"1")
    assert clock.monotonic() - started == pytest.approx(0.5)


async def test_the_same_seed_gives_the_same_run(clock: Clock) -> None:
    from mesh.clock import SeededIds

    async def run() -> list[str]:
        server = MemoryServer(clock, SeededIds(clock, 5))
        members = [server.connect(str(n)) for n in range(3)]
        heard: list[str] = []
        for member in members:
            await member.bus.subscribe("a", lambda m, who=member.name: heard.append(who), queue="q")
        for _ in range(20):
            members[0].bus.publish("a", b"")
        await members[2].bus.flush()
        return heard

    assert await run() == await run()


async def test_messages_that_are_to_come_again_later_hold_new_ones_back_as_on_a_real_server(
    server: MemoryServer, clock: Clock
) -> None:
    """1,000 that are not done with, in hand or postponed; those may come again all the same."""
    store = server.connect("here").store
    await store.ensure_stream(StreamSpec(name="S", subjects=("s.>",)))
    for _ in range(MAX_IN_HAND + 1):
        await store.append("s.a", b"")
    consumer = await store.consumer("S", "work", ("s.>",), max_deliver=-1)
    for number in range(MAX_IN_HAND):
        delivery = await consumer.next(1)
        assert delivery is not None
        await delivery.retry(after=60 if number else 5)
    assert await consumer.next(1) is None
    again = await consumer.next(10)
    assert again is not None
    assert (again.message.sequence, again.attempts) == (1, 2)
    await again.ack()
    new = await consumer.next(1)
    assert new is not None
    assert new.message.sequence == MAX_IN_HAND + 1
