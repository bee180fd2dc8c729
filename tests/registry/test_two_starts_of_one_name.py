"""An earlier start of a process that was thought dead, and its successor under the same name: the lease decides."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mesh.protocols.errors import TimedOut
from mesh.protocols.ports import Clock
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
