"""The streams of jobs, in memory and on a real server: journals by shard, and timers that are kept until they are dealt with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import TIMERS, ensure_streams
from mesh.protocols.errors import Transient
from mesh.protocols.job_events import Entry, Submitted, Value, encode_entry
from mesh.protocols.job_head import advance
from mesh.protocols.naming.jobs import SHARDS, shard_of
from mesh.protocols.ports import Consumer, Store
from mesh.protocols.subjects import Subjects
from mesh.transport.connection import Connection
from tests.contract.places import Place, eventually_none

JOBS = [f"job{number}" for number in range(48)]


async def journaled(store: Store, subjects: Subjects, job: str, tenant: str) -> None:
    event = Submitted(workflow="w", version=1, input=Value(), digest="d")
    entry = Entry(id=f"{job}-1", job=job, tenant=tenant, head=advance(None, tenant, (event,)), events=(event,))
    await store.append(subjects.job(tenant, job), encode_entry(entry), expected=0)


async def test_journals_are_spread_and_found_wherever_they_are(here: Connection, space: str) -> None:
    subjects = Subjects(space.lower())
    await ensure_streams(here.store, subjects)
    await ensure_streams(here.store, subjects)
    await asyncio.gather(
        *(journaled(here.store, subjects, job, "acme" if number % 2 else "globex") for number, job in enumerate(JOBS))
    )
    journals = Journals(here.store, subjects)
    assert {each.entry.job for each in await journals.heads()} == set(JOBS)
    assert {each.entry.job for each in await journals.heads("acme")} == set(JOBS[1::2])
    for shard in SHARDS:
        held = await here.store.read(subjects.job_stream(shard), subjects.job_all())
        assert {subjects.parse_job(each.subject).job for each in held} == {j for j in JOBS if shard_of(j) == shard}
    assert (await journals.find("job7")).entry.tenant == "acme"
    assert [each.entry.id for each in await journals.read("globex", "job6")] == ["job6-1"]


def due_in(seconds: float, target: str) -> Mapping[str, str]:
    moment = datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC)
    return {"Nats-Schedule": f"@at {moment.isoformat()}", "Nats-Schedule-Target": target}


async def opened(store: Store, stream: str, subjects: Subjects) -> Consumer:
    """The consumer, once the server is back."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await store.consumer(stream, "timers", (subjects.timer_due_all(),), max_deliver=-1)
            except Transient:
                await asyncio.sleep(0.05)


async def test_timers_wait_through_a_crash_and_are_gone_once_they_are_dealt_with(breakable: Place) -> None:
    here, subjects = await breakable.connect("here"), Subjects()
    stream = subjects.stream(TIMERS)
    await ensure_streams(here.store, subjects)
    for token, seconds in (("near", 0.3), ("far", 3600.0)):
        target = subjects.timer_due("acme", "j1", token)
        await here.store.append(subjects.timer_set("acme", "j1", token), b"{}", headers=due_in(seconds, target))
    await breakable.stop()
    await breakable.start()
    timers = await opened(here.store, stream, subjects)
    async with asyncio.timeout(60):
        while (delivery := await timers.next(30)) is None:
            pass
    assert subjects.parse_timer(delivery.message.subject) == ("acme", "j1", "near")
    await delivery.ack()
    await eventually_none(lambda: here.store.last(stream, subjects.timer_due("acme", "j1", "near")))
    assert await here.store.last(stream, subjects.timer_set("acme", "j1", "far")) is not None
    assert await timers.next(0.1) is None
    await timers.close()
