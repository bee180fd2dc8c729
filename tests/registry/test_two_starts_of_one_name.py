"""An earlier start of a process that was thought dead, and its successor under the same name: the lease decides."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.protocols.errors import TimedOut
from mesh.protocols.ports import Clock, KeyValue
from mesh.registry.buckets import open_leases, open_records
from mesh.registry.listing import Change
from mesh.testing.virtual_time import until
from mesh.transport.memory.server import MemoryServer
from tests.registry.crew import SUBJECTS, Crew, Member, instance_of

pytestmark = pytest.mark.virtual


async def replaced(crew: Crew, clock: Clock) -> tuple[Member, Member]:
    """One that was cut off for longer than its lease and is back now, and the one that took its name meanwhile."""
    old = await crew.join("ann")
    await old.presence.register(instance_of("ann"))
    old.connection.bus.lose()
    await clock.sleep(4)
    new = await crew.join("ann")
    await new.presence.register(instance_of("ann"))
    old.connection.bus.regain()
    await until(lambda: old.presence.superseded)
    return old, new


async def test_who_lost_its_name_touches_no_record_under_it_any_more(crew: Crew, clock: Clock) -> None:
    old, new = await replaced(crew, clock)
    changes: list[Change] = []
    new.directory.on_change(changes.append)
    await old.presence.update(instance_of("ann", state="draining"))
    await old.presence.deregister(instance_of("ann"))
    await old.presence.register(instance_of("ann", number="2"))
    await old.stop()
    await clock.sleep(1)
    assert changes == []


async def test_who_lost_its_name_still_notices_the_death_of_others(
    crew: Crew, server: MemoryServer, clock: Clock
) -> None:
    old, _ = await replaced(crew, clock)
    bob = await crew.join("bob")
    await until(lambda: "bob" in old.sees())
    bob.connection.bus.lose()
    await until(lambda: "bob" not in old.sees(), timeout=5)


async def test_a_start_that_leaves_late_removes_no_record_of_its_successor(
    crew: Crew, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await crew.join("ann")
    await old.presence.register(instance_of("ann"))
    withdraw = old.presence._publication.withdraw

    async def late() -> None:
        await clock.sleep(1)
        await withdraw()

    monkeypatch.setattr(old.presence._publication, "withdraw", late)
    leaving = asyncio.ensure_future(old.presence.stop())
    new = await crew.join("ann")
    await new.presence.register(instance_of("ann"))
    changes: list[Change] = []
    new.directory.on_change(changes.append)
    await leaving
    await clock.sleep(1)
    assert changes == []
    assert [each.process for each in new.directory.instances()] == ["ann"]


async def test_a_record_that_another_start_wrote_over_ours_is_written_again_at_once(crew: Crew) -> None:
    """Its write was on its way while it was thought dead: ours would not be listed until somebody swept."""
    ann, bob = await crew.join("ann"), await crew.join("bob")
    await ann.presence.register(instance_of("ann"))
    await until(lambda: bool(bob.directory.lookup("greet")))
    records = await open_records(bob.connection.store, SUBJECTS)
    await records.put("ann.greeter.1", msgspec.json.encode(instance_of("ann", incarnation="an earlier one")))
    await until(lambda: not bob.directory.lookup("greet"), timeout=0.5)
    await until(lambda: bool(bob.directory.lookup("greet")), timeout=0.5)


async def test_a_lease_whose_writing_anew_was_cut_short_is_given_back_all_the_same(
    crew: Crew, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    bucket = await ann.presence._holder._open()
    put, stored = bucket.put, asyncio.Event()

    async def unanswered(key: str, value: bytes, *, ttl: int | None = None, revision: int | None = None) -> int:
        if revision == 0:
            await put(key, value, ttl=ttl, revision=revision)
            stored.set()
            await asyncio.Event().wait()
        return await put(key, value, ttl=ttl, revision=revision)

    monkeypatch.setattr(bucket, "put", unanswered)
    await (await open_leases(bob.connection.store, SUBJECTS)).delete("proc.ann")
    await stored.wait()
    await ann.presence.stop()
    await until(lambda: "ann" not in bob.sees(), timeout=0.5)


async def test_records_are_written_anew_with_a_lease_whose_writing_anew_went_unanswered(
    crew: Crew, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store lost both; that our lease is found there afterwards does not mean that our records are."""
    ann = await crew.join("ann")
    await ann.presence.register(instance_of("ann"))
    monkeypatch.setattr(ann.presence._publication, "heard", lambda change: False)
    bucket = await ann.presence._holder._open()
    put, unanswered = bucket.put, [True]

    async def losing(key: str, value: bytes, *, ttl: int | None = None, revision: int | None = None) -> int:
        written = await put(key, value, ttl=ttl, revision=revision)
        if revision == 0 and unanswered:
            unanswered.pop()
            raise TimedOut("the answer was lost")
        return written

    monkeypatch.setattr(bucket, "put", losing)
    leases = await open_leases(ann.connection.store, SUBJECTS)
    records = await open_records(ann.connection.store, SUBJECTS)
    await records.delete("ann.greeter.1")
    await leases.delete("proc.ann")
    await clock.sleep(5)
    assert not unanswered
    assert [each.key for each in await records.all()] == ["ann.greeter.1"]


async def test_a_look_at_the_lease_that_is_behind_costs_nobody_its_name(
    crew: Crew, server: MemoryServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One server of a cluster may answer with what stood there before: the lease of the start before this one."""
    old = await crew.join("ann")
    before = await (await open_leases(old.connection.store, SUBJECTS)).get("proc.ann")
    server.kill("ann")
    ann = await crew.join("ann")
    bucket = await ann.presence._holder._open()
    get, behind = bucket.get, [before, before]

    async def late(key: str) -> KeyValue | None:
        return behind.pop() if behind else await get(key)

    monkeypatch.setattr(bucket, "get", late)
    monkeypatch.setattr(ann.presence._holder, "forget_bucket", lambda: None)
    found = await get("proc.ann")
    assert found is not None
    assert found.value is not None
    await bucket.put("proc.ann", found.value, ttl=3)  # a renewal of ours whose answer was lost
    await until(lambda: not behind, timeout=5)
    await clock.sleep(3)
    assert ann.presence.confident


async def test_who_took_the_name_in_a_store_made_anew_has_it_though_revisions_began_anew(
    crew: Crew, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await crew.join("ann")
    leases = await open_leases(ann.connection.store, SUBJECTS)
    entry = await leases.get("proc.ann")
    assert entry is not None
    assert entry.value is not None
    other = entry.value.replace(ann.presence.incarnation.encode(), b"another")
    ann.presence._term.revision = ann.presence._holder._newest = 1_000_000

    async def renew() -> None:
        while True:
            await leases.put("proc.ann", other, ttl=3)
            await clock.sleep(1)

    renewing = asyncio.ensure_future(renew())
    await until(lambda: ann.presence.superseded, timeout=10)
    renewing.cancel()


async def test_who_registers_while_its_process_leaves_is_not_cancelled(crew: Crew, server: MemoryServer) -> None:
    ann = await crew.join("ann")
    server.storage.available = False
    registering = asyncio.ensure_future(ann.presence.register(instance_of("ann")))
    await asyncio.sleep(0)
    assert ann.presence._writing is not None
    await ann.presence.stop()
    await registering
