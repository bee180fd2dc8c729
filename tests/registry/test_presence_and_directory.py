"""Presence and directory together, in memory and on virtual time: who is there, and what is made of every sign of death."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import msgspec
import pytest

from mesh.protocols.acts import Bid
from mesh.protocols.errors import NoResponders, TimedOut
from mesh.protocols.ports import Bucket, Clock, KeyValue
from mesh.registry.buckets import open_leases, open_records
from mesh.registry.lease import NameTaken
from mesh.registry.listing import Change
from mesh.registry.publication import Publication
from mesh.registry.records import Figures
from mesh.registry.schemas import schema_of
from mesh.testing.virtual_time import until
from mesh.transport.memory.server import MemoryServer
from tests.registry.crew import SUBJECTS, Crew, Member, instance_of

pytestmark = pytest.mark.virtual


async def sees(member: Member, *names: str, within: float = 10.0) -> None:
    await until(lambda: member.sees() == set(names), timeout=within)


async def test_everybody_sees_everybody_and_finds_them_by_capability(crew: Crew) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    await bob.presence.register(instance_of("bob"))
    await until(lambda: bool(ann.directory.lookup("greet")))
    (found,) = ann.directory.lookup("greet")
    assert (found.key, found.state, found.record.version) == ("bob.greeter.1", "ready", "1.2.0")
    assert ann.sees() == bob.sees() == {"ann", "bob"}


async def test_the_same_question_is_answered_without_looking_again(crew: Crew) -> None:
    ann = await crew.join("ann")
    await ann.presence.register(instance_of("ann"))
    await until(lambda: bool(ann.directory.lookup("greet")))
    assert ann.directory.lookup("greet") is ann.directory.lookup("greet")
    await ann.presence.update(instance_of("ann", state="draining"))
    await until(lambda: not ann.directory.lookup("greet"))
    assert len(ann.directory.lookup("greet", state="draining")) == 1


async def test_labels_and_versions_narrow_a_lookup(crew: Crew) -> None:
    ann = await crew.join("ann")
    await ann.presence.register(instance_of("ann", number="1", labels={"gpu": "yes"}))
    await ann.presence.register(instance_of("ann", number="2", version="2.0.0"))
    await until(lambda: len(ann.directory.lookup("greet")) == 2)
    assert [each.record.instance for each in ann.directory.lookup("greet", labels={"gpu": "yes"})] == ["1"]
    assert [each.record.instance for each in ann.directory.lookup("greet", version="2")] == ["2"]
    assert not ann.directory.lookup("greet", version="2.0.1")


async def test_a_killed_process_is_gone_at_once_and_its_lease_and_records_with_it(
    crew: Crew, server: MemoryServer, clock: Clock
) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    await bob.presence.register(instance_of("bob"))
    await until(lambda: bool(ann.directory.lookup("greet")))
    killed = clock.monotonic()
    server.kill("bob")
    await sees(ann, "ann")
    assert not ann.directory.lookup("greet")
    assert clock.monotonic() - killed < 0.05
    leases = await open_leases(ann.connection.store, SUBJECTS)
    await clock.sleep(0.05)
    assert await leases.get("proc.bob") is None
    records = await open_records(ann.connection.store, SUBJECTS)
    await clock.sleep(10)
    assert await records.get("bob.greeter.1") is None


async def test_a_process_cut_off_in_silence_is_gone_within_its_lease(
    crew: Crew, server: MemoryServer, clock: Clock
) -> None:
    ann, _ = await crew.join("ann"), await crew.join("bob")
    cut = clock.monotonic()
    server.cut("bob", noticed=False)
    await sees(ann, "ann")
    assert clock.monotonic() - cut <= 3.5


async def test_a_process_that_leaves_is_gone_at_once(crew: Crew, clock: Clock) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    await bob.presence.register(instance_of("bob"))
    changes: list[Change] = []
    ann.directory.on_change(changes.append)
    await bob.presence.stop()
    await sees(ann, "ann", within=0.1)
    records = await open_records(ann.connection.store, SUBJECTS)
    assert await records.get("bob.greeter.1") is None
    assert [each.kind for each in changes if each.process == "bob"][-2:] == ["instance-down", "process-down"]


async def test_a_process_that_only_reconnected_is_back(crew: Crew, server: MemoryServer) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    await bob.presence.register(instance_of("bob"))
    await until(lambda: bool(ann.directory.lookup("greet")))
    server.cut("bob")
    await sees(ann, "ann")
    server.restore("bob")
    await sees(ann, "ann", "bob", within=1.5)
    await until(lambda: bool(ann.directory.lookup("greet")), timeout=0.1)
    assert not bob.presence.lost


async def test_a_lease_purged_by_mistake_is_back_at_once(crew: Crew, clock: Clock) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    await bob.presence.register(instance_of("bob"))
    await until(lambda: bool(ann.directory.lookup("greet")))
    lost: list[str] = []
    bob.presence.on_lost(lost.append)
    leases = await open_leases(ann.connection.store, SUBJECTS)
    changes: list[Change] = []
    ann.directory.on_change(changes.append)
    await leases.delete("proc.bob")
    await until(lambda: [each.kind for each in changes if each.listing is None] == ["process-down", "process-up"])
    assert not lost
    assert ann.directory.lookup("greet")


async def test_a_record_removed_by_mistake_is_back_at_once(crew: Crew) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    await bob.presence.register(instance_of("bob"))
    await until(lambda: bool(ann.directory.lookup("greet")))
    changes: list[Change] = []
    ann.directory.on_change(changes.append)
    await (await open_records(ann.connection.store, SUBJECTS)).delete("bob.greeter.1")
    await until(lambda: [each.kind for each in changes] == ["instance-down", "instance-up"], timeout=0.5)


async def test_the_loss_is_told_though_the_loop_rings_a_little_early(
    crew: Crew, server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As uvloop does, half the time, by up to a millisecond and a half."""
    loop = asyncio.get_running_loop()
    call_at = loop.call_at

    def early(when: float, *work: Any, **more: Any) -> asyncio.TimerHandle:
        return call_at(when - 0.0015 if when > loop.time() + 0.01 else when, *work, **more)

    monkeypatch.setattr(loop, "call_at", early)
    ann = await crew.join("ann")
    told: list[str] = []
    ann.presence.on_lost(told.append)
    server.stop()
    await until(lambda: bool(told), timeout=4)
    assert ann.presence.lost


async def test_a_timer_that_rings_a_rounding_too_early_is_set_anew_for_later_and_not_for_now(
    crew: Crew, clock: Clock
) -> None:
    presence = (await crew.join("ann")).presence
    presence._term._counted_from = math.nextafter(clock.monotonic() - presence._term.seconds, math.inf)
    assert presence._term.expires_at >= clock.monotonic()
    presence._look_in_time()
    assert presence._lapse is not None
    assert presence._lapse.when() > asyncio.get_running_loop().time()


async def test_what_is_left_of_the_dead_is_swept_however_often_that_failed(
    crew: Crew, server: MemoryServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    await bob.presence.register(instance_of("bob"))
    await until(lambda: bool(ann.directory.lookup("greet")))
    sweeper = ann.directory._witness._errands
    orphaned, failures = sweeper._orphaned, [TimedOut("no leader"), TimedOut("no leader")]

    async def failing(process: str, leftovers: dict[str, int]) -> dict[str, int]:
        if failures:
            raise failures.pop()
        return await orphaned(process, leftovers)

    monkeypatch.setattr(sweeper, "_orphaned", failing)
    server.kill("bob")
    records = await open_records(ann.connection.store, SUBJECTS)
    await clock.sleep(20)
    assert not failures
    assert await records.all() == []


async def _published(server: MemoryServer) -> tuple[Publication, Bucket, KeyValue]:
    """Ann's record is written; the bucket, and how it stands there."""
    store = server.connect("ann").store
    records = await open_records(store, SUBJECTS)
    publication = Publication(store, SUBJECTS)
    publication.set(instance_of("ann"))
    await publication.write()
    [before] = await records.all()
    return publication, records, before


async def test_a_record_removed_before_the_watch_told_that_it_was_written_is_written_again(
    server: MemoryServer,
) -> None:
    publication, records, before = await _published(server)
    publication.set(instance_of("ann", state="draining"))
    await publication.write()
    await records.delete(before.key)
    assert publication.heard(KeyValue(before.key, None, before.revision)), "so a watch tells that finds the key missing"
    await publication.write()
    assert [each.key for each in await records.all()] == [before.key]


async def test_a_record_of_whose_writing_and_removal_no_watch_told_is_written_again(server: MemoryServer) -> None:
    """A watch that was deaf meanwhile never knew the key, and so cannot miss it (seed 911409); what comes behind tells."""
    publication, records, before = await _published(server)
    assert not publication.passed(before.revision - 1), "it may still be on its way"
    await records.delete(before.key)
    assert publication.passed(await records.put("bob.greeter.bob", b"{}"))
    await publication.write()
    written = await records.get(before.key)
    assert written is not None
    assert not publication.heard(written)
    assert not publication.passed(written.revision + 10), "that one was told"


async def test_a_record_of_which_no_watch_tells_is_looked_up_and_written_again_where_it_is_gone(
    server: MemoryServer,
) -> None:
    """The watch was deaf when it was written and when it was removed, and nothing comes behind it (seed 68779)."""
    publication, records, before = await _published(server)
    await publication.recheck()
    assert not publication.due, "it may be told of yet"
    await publication.recheck()
    assert not publication.due, "it is there"
    await records.delete(before.key)
    await publication.recheck()
    await publication.write()
    written = await records.get(before.key)
    assert written is not None
    publication.heard(written)
    await records.delete(before.key)
    for _ in range(2):
        await publication.recheck()
    assert not publication.due, "what was told of is missed by the watch itself"


async def test_records_whose_lease_is_not_heard_of_yet_are_not_swept(
    crew: Crew, server: MemoryServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = await crew.join("bob")
    await bob.presence.register(instance_of("bob"))
    behind = await crew.join("cat")
    monkeypatch.setattr(behind.directory._witness, "lease", lambda change, now: None)
    records = await open_records(behind.connection.store, SUBJECTS)
    removed: list[str] = []
    watch = await records.watch(lambda change: removed.append(change.key) if change.value is None else None)
    behind.directory._witness.bury("bob", "its connection ended")
    await clock.sleep(10)
    assert removed == []
    await watch.close()
    server.kill("bob")
    behind.directory._witness._errands.sweep("bob")
    await clock.sleep(10)
    assert await records.all() == []


async def test_a_forged_advisory_takes_nobody_off_for_long(crew: Crew, clock: Clock) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    server_id, client_id = bob.connection.bus.client
    forged = {"server": {"id": server_id}, "client": {"id": client_id}, "reason": "Client Closed"}
    for _ in range(3):
        ann.connection.bus.publish("$SYS.ACCOUNT.MESH.DISCONNECT", msgspec.json.encode(forged))
        await clock.sleep(0.1)
        assert ann.sees() == {"ann", "bob"}
    assert not bob.presence.lost


async def test_a_connection_under_the_victims_name_does_it_no_harm(crew: Crew, server: MemoryServer) -> None:
    ann, _ = await crew.join("ann"), await crew.join("bob")
    changes: list[Change] = []
    ann.directory.on_change(changes.append)
    await server.connect("bob").close()
    await asyncio.sleep(1)
    assert ann.sees() == {"ann", "bob"}
    assert not changes


async def test_a_server_restart_deposes_nobody(crew: Crew, server: MemoryServer, clock: Clock) -> None:
    names = ("ann", "bob", "cat")
    members = [await crew.join(name) for name in names]
    for each in members:
        await each.presence.register(instance_of(each.name))
    await until(lambda: all(len(each.directory.lookup("greet")) == 3 for each in members))
    changes: list[Change] = []
    lost: list[str] = []
    for each in members:
        each.directory.on_change(changes.append)
        each.presence.on_lost(lost.append)
    server.restart()
    await clock.sleep(10)
    assert [each for each in changes if each.kind.endswith("down")] == []
    assert lost == []
    assert all(each.sees() == set(names) for each in members)
    assert len(await (await open_records(members[0].connection.store, SUBJECTS)).all()) == 3


async def test_who_died_while_the_server_was_away_is_gone_one_lease_later(
    crew: Crew, server: MemoryServer, clock: Clock
) -> None:
    ann, _ = await crew.join("ann"), await crew.join("bob")
    server.stop()
    server.kill("bob")
    await clock.sleep(1)
    server.start()
    back = clock.monotonic()
    await sees(ann, "ann")
    assert 2.9 <= clock.monotonic() - back <= 4


async def test_an_outage_longer_than_the_lease_is_told_as_loss_and_then_regained(
    crew: Crew, server: MemoryServer, clock: Clock
) -> None:
    ann = await crew.join("ann")
    told: list[str] = []
    ann.presence.on_lost(lambda why: told.append("lost"))
    ann.presence.on_regained(lambda: told.append("regained"))
    server.stop()
    stopped = clock.monotonic()
    await until(lambda: not ann.presence.confident, timeout=2)
    assert ann.presence.held
    await until(lambda: bool(told))
    assert clock.monotonic() - stopped <= 3.02
    assert ann.presence.lost
    assert not ann.presence.held
    server.start()
    await until(lambda: told == ["lost", "regained"], timeout=2)
    assert ann.presence.confident


async def test_the_second_process_of_a_name_is_told_what_to_do(crew: Crew, clock: Clock) -> None:
    await crew.join("ann")
    began = clock.monotonic()
    with pytest.raises(NameTaken, match=r"'ann' is already in use by pid 1 on host 'here'.*--host-name"):
        await crew.join("ann")
    assert clock.monotonic() - began < 0.1


async def test_a_restarted_process_takes_over_the_lease_of_its_dead_self_at_once(
    crew: Crew, server: MemoryServer, clock: Clock
) -> None:
    watcher = await crew.join("watcher")
    old = await crew.join("ann")
    await old.presence.register(instance_of("ann", agent="old"))
    server.faults.filter = lambda message: not message.subject.startswith("$SYS")
    server.kill("ann")
    began = clock.monotonic()
    new = await crew.join("ann")
    assert clock.monotonic() - began < 0.1
    await new.presence.register(instance_of("ann"))
    await until(lambda: bool(watcher.directory.lookup("greet")))
    await until(lambda: watcher.directory.agents() == ["greeter"], timeout=1)


async def test_the_name_of_a_frozen_process_is_free_after_its_lease(
    crew: Crew, server: MemoryServer, clock: Clock
) -> None:
    old = await crew.join("ann")
    for task in old.presence._tasks:
        task.cancel()
    server.faults.filter = lambda message: ".roll." not in message.subject
    began = clock.monotonic()
    new = await crew.join("ann")
    assert 2 < clock.monotonic() - began < 4
    assert new.presence.held


async def test_who_lost_its_name_to_another_says_so_and_stays_away(crew: Crew, clock: Clock) -> None:
    ann = await crew.join("ann")
    lost: list[str] = []
    ann.presence.on_lost(lost.append)
    leases = await open_leases(ann.connection.store, SUBJECTS)
    entry = await leases.get("proc.ann")
    assert entry is not None
    assert entry.value is not None
    await leases.put("proc.ann", entry.value.replace(ann.presence.incarnation.encode(), b"another"))
    await until(lambda: bool(lost), timeout=0.5)
    await clock.sleep(5)
    stolen = await leases.get("proc.ann")
    assert lost == ["another process took the name"]
    assert ann.presence.lost
    assert stolen is not None
    assert b"another" in (stolen.value or b"")


async def test_figures_travel_in_beats_and_late_joiners_ask_for_them(crew: Crew, clock: Clock) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    await bob.presence.register(instance_of("bob"))
    bob.presence.set_figures("greeter.1", Figures(queue=3, bids={"greet": Bid(price=0.5)}))
    await clock.sleep(1.1)
    (known,) = ann.directory.lookup("greet")
    assert known.figures.queue == 3
    cat = await crew.join("cat")
    await until(lambda: bool(cat.directory.lookup("greet")[0].figures.bids), timeout=0.1)
    assert cat.directory.lookup("greet")[0].figures.bids["greet"].price == 0.5


async def test_figures_are_told_on_change_only_and_at_most_once_a_second(crew: Crew, clock: Clock) -> None:
    bob = await crew.join("bob")
    beats: list[bytes] = []
    await bob.connection.bus.subscribe(SUBJECTS.beat_all(), lambda message: beats.append(message.data))
    await clock.sleep(0.5)
    beats.clear()
    for number in range(300):
        bob.presence.set_figures("greeter.1", Figures(queue=number))
        await clock.sleep(0.01)
    assert 2 <= len(beats) <= 4
    beats.clear()
    await clock.sleep(30)
    assert 3 <= len(beats) <= 4


async def test_replies_teach_fresher_figures_than_beats(crew: Crew) -> None:
    ann = await crew.join("ann")
    await ann.presence.register(instance_of("ann"))
    await until(lambda: bool(ann.directory.lookup("greet")))
    ann.directory.learn("ann.greeter.1", Bid(price=2.0, capacity=0), "greet")
    assert ann.directory.lookup("greet")[0].figures.bids["greet"].price == 2.0
    ann.directory.learn("nobody.greeter.1", Bid(price=2.0), "greet")


async def test_what_is_declared_of_a_capability_is_what_somebody_ready_says_of_it(crew: Crew) -> None:
    ann = await crew.join("ann")
    assert ann.directory.declared("greet") is None
    await ann.presence.register(instance_of("ann"))
    await until(lambda: ann.directory.declared("greet") is not None)
    (old,) = ann.directory.lookup("greet")
    fresh = [msgspec.structs.replace(each, timeout=77.0) for each in old.record.capabilities]
    await ann.presence.register(msgspec.structs.replace(old.record, capabilities=tuple(fresh)))
    await until(lambda: (found := ann.directory.declared("greet")) is not None and found.timeout == 77.0)


async def test_suspicion_takes_an_instance_out_of_lookups_and_is_taken_back(crew: Crew) -> None:
    ann = await crew.join("ann")
    await ann.presence.register(instance_of("ann"))
    await until(lambda: bool(ann.directory.lookup("greet")))
    ann.directory.suspect("ann.greeter.1", "its breaker opened here")
    assert not ann.directory.lookup("greet")
    assert ann.directory.lookup("greet", state=None)[0].state == "suspect"
    ann.directory.learn("ann.greeter.1", Figures())
    assert ann.directory.lookup("greet")
    ann.directory.suspect("ann", "no answer")
    assert not ann.directory.lookup("greet")
    await until(lambda: bool(ann.directory.lookup("greet")), timeout=1.5)


async def test_breakers_open_at_several_processes_make_a_suspect_everywhere(crew: Crew) -> None:
    members = [await crew.join(name) for name in ("ann", "bob", "cat")]
    for each in members:
        await each.presence.register(instance_of(each.name))
    await until(lambda: len(members[0].directory.lookup("greet")) == 3)
    for each in members[:2]:
        each.presence.set_figures("greeter.1", Figures(breakers=("cat.greeter.1 greet",)))
    await until(lambda: all(len(each.directory.lookup("greet")) == 2 for each in members))
    for each in members[:2]:
        each.presence.set_figures("greeter.1", Figures())
    await until(lambda: all(len(each.directory.lookup("greet")) == 3 for each in members))


async def test_a_ping_measures_the_living_and_finds_the_dead_and_the_silent(crew: Crew, server: MemoryServer) -> None:
    ann, _, cat = [await crew.join(name) for name in ("ann", "bob", "cat")]
    await cat.presence.register(instance_of("cat"))
    assert 0 <= await ann.directory.ping("cat") < 0.1
    server.faults.filter = lambda message: (
        not message.subject.startswith("$SYS") and ".roll.ann.cat." not in message.subject
    )
    with pytest.raises(TimedOut, match="'cat' did not answer"):
        await ann.directory.ping("cat", timeout=0.2)
    assert ann.directory.lookup("greet", state="suspect")
    server.kill("bob")
    with pytest.raises(NoResponders, match="'bob' is dead"):
        await ann.directory.ping("bob")
    assert ann.sees() == {"ann", "cat"}
    with pytest.raises(NoResponders, match="no process"):
        await ann.directory.ping("nobody")


async def test_a_listing_just_after_a_kill_shows_no_corpse(crew: Crew, server: MemoryServer, clock: Clock) -> None:
    await crew.join("ann")
    server.faults.filter = lambda message: not message.subject.startswith("$SYS")
    await crew.join("bob")
    server.kill("bob")
    visitor = await crew.join("visitor")
    assert visitor.sees() >= {"ann"}
    assert "bob" not in visitor.sees()


async def test_a_verified_listing_drops_the_dead_and_suspects_the_silent(crew: Crew, server: MemoryServer) -> None:
    members = [await crew.join(name) for name in ("ann", "bob", "cat", "dan")]
    for each in members:
        await each.presence.register(instance_of(each.name))
    ann = members[0]
    await until(lambda: len(ann.directory.instances()) == 4)
    server.faults.filter = lambda message: (
        not message.subject.startswith("$SYS") and ".roll.ann.cat." not in message.subject
    )
    server.kill("bob")
    listed = await ann.directory.verified(0.3)
    assert {each.process: each.state for each in listed} == {"ann": "ready", "cat": "suspect", "dan": "ready"}


async def test_a_parent_that_saw_its_child_die_buries_it_but_not_its_successor(crew: Crew) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    assert not ann.directory.bury("bob", "exited with -9", pid=99)
    assert ann.directory.bury("bob", "exited with -9", pid=bob.presence.pid)
    assert ann.sees() == {"ann"}
    assert not ann.directory.bury("bob", "exited with -9")


async def test_schemas_are_stored_once_and_found_by_digest(crew: Crew) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    schema = schema_of({"type": "object", "properties": {"name": {"type": "string"}}})
    await ann.presence.register(instance_of("ann"), [schema])
    await bob.presence.register(instance_of("bob"), [schema])
    assert await bob.directory.schema(schema.digest) == schema.schema
    assert await bob.directory.schema("0" * 64) is None


async def test_schemas_of_an_instance_that_joins_a_round_of_writes_are_stored_when_it_is(crew: Crew) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    first, second = schema_of({"type": "string"}), schema_of({"type": "integer"})
    writing = asyncio.ensure_future(ann.presence.register(instance_of("ann"), [first]))
    publication = ann.presence._publication
    await until(lambda: publication.due and not publication._schemas_due, poll=0.0001)
    await ann.presence.register(instance_of("ann", number="2"), [second])
    assert await bob.directory.schema(second.digest) == second.schema
    await writing


async def test_what_is_registered_while_the_store_is_away_is_listed_when_it_is_back(
    crew: Crew, server: MemoryServer
) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    server.stop()
    await bob.presence.register(instance_of("bob"))
    server.start()
    await until(lambda: bool(ann.directory.lookup("greet")))


async def test_hostile_entries_are_ignored(crew: Crew, clock: Clock) -> None:
    ann, bob = await crew.join("ann"), await crew.join("bob")
    store = bob.connection.store
    records, leases = await open_records(store, SUBJECTS), await open_leases(store, SUBJECTS)
    await records.put("ann.greeter.1", b"[" * 100_000)
    await records.put("ann.greeter.2", msgspec.json.encode(instance_of("bob")))
    await leases.put("proc.eve", b'{"process": "ann"}')
    bob.connection.bus.publish(SUBJECTS.beat("bob"), b"\xff\x00")
    bob.connection.bus.publish("$SYS.ACCOUNT.MESH.DISCONNECT", b"{}")
    await clock.sleep(1)
    assert ann.sees() == {"ann", "bob"}
    assert not ann.directory.instances()


async def test_a_failing_callback_keeps_the_others_from_nothing(crew: Crew) -> None:
    ann = await crew.join("ann")
    heard: list[Change] = []

    def fail(change: Change) -> None:
        raise RuntimeError("mine")

    ann.directory.on_change(fail)
    forget = ann.directory.on_change(heard.append)
    await crew.join("bob")
    await until(lambda: bool(heard))
    forget()
    forget()


async def test_records_are_written_again_whatever_a_write_failed_with(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process whose lease lives and whose records nobody writes any more hosts agents that nobody finds."""
    ann, bob = await crew.join("ann"), await crew.join("bob")
    real, failures = bob.presence._publication.write, [RuntimeError("a bug"), RuntimeError("again")]

    async def write() -> None:
        if failures:
            raise failures.pop()
        await real()

    monkeypatch.setattr(bob.presence._publication, "write", write)
    await bob.presence.register(instance_of("bob"))
    await until(lambda: bool(ann.directory.lookup("greet")), timeout=10)
