"""Everything of one tenant is removed, nothing of another's; broken off and done again, it is done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh import Job, Undo, workflow
from mesh.jobs.outside.handle import JobHandle
from mesh.jobs.outside.submission import submit
from mesh.protocols.errors import InvalidName, Refused
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import BucketSpec, Clock, Ids, StreamSpec
from mesh.upkeep.erase import Erased, Erasing
from tests.upkeep.upkeep_stage import Place, echo

pytestmark = pytest.mark.virtual

SHARED = "s" * 100_000
DECIDED = (
    "flag.fast.tenant.acme", "flag.fast.tenant.acme.agent.writer", "limit.tenant.acme", "limit.tenant.acme.calls",
    "limit.tool.search.tenant.acme", "share.acme",
)  # fmt: skip
"""What operators grant one tenant."""
KEPT = (
    "flag.fast", "flag.fast.agent.acme", "kill.agent.acme", "kill.tenant.acme", "limit.tenant.=2A", "limit.tool.tenant",
    "limit.tool.tenant.calls", "share.globex",
)  # fmt: skip
"""What is another's, everybody's, or a refusal."""
UNDONE: list[str] = []


@pytest.fixture
async def place(clock: Clock, ids: Ids, tmp_path: Path) -> AsyncIterator[Place]:
    world = Place(clock, ids, tmp_path / "archive")
    await world.host("host", echo)
    store, subjects = world.client.store, world.client.subjects
    await store.ensure_stream(StreamSpec(name=subjects.stream("EVT"), subjects=(subjects.event_filter(),)))
    yield world
    await world.close()


def erasing(place: Place, tenant: str = "acme") -> Erasing:
    return Erasing(place.client.store, place.client.subjects, place.client.clock, place.folder, tenant)


async def all_of(place: Place, tenant: str) -> int:
    """How many messages of a tenant any stream holds."""
    store, subjects = place.client.store, place.client.subjects
    return sum(
        [
            sum((await store.counts(stream.name, pattern)).values())
            for stream in await store.streams("mesh_default_")
            for pattern in subjects.all_of(tenant)
        ]
    )


async def decide(place: Place, *keys: str) -> None:
    """What operators have decided under these keys; what is left of a limit stands in a bucket of its own."""
    store, subjects = place.client.store, place.client.subjects
    for key in keys:
        bucket = "limits" if key.endswith(".calls") else "policies"
        await (await store.bucket(BucketSpec(name=subjects.bucket(bucket), storage="file"))).put(key, b"{}")


async def furnish(place: Place) -> None:
    """Two tenants with everything: jobs, one archived, letters, events, effects, what was said, objects."""
    store, subjects = place.client.store, place.client.subjects
    for tenant in ("acme", "globex"):
        await place.done(SHARED, tenant)
        await place.done(f"{tenant}: " + "o" * 100_000, tenant)
    await place.later(2)
    await place.archive()
    effects = await store.bucket(BucketSpec(name=subjects.bucket("effects"), storage="file"))
    hooks = await store.bucket(BucketSpec(name=subjects.bucket("webhooks"), storage="file"))
    state = await store.bucket(BucketSpec(name=subjects.bucket("state"), storage="file"))
    await decide(place, *DECIDED, *KEPT)
    await state.put("acme.key", b'{"tenant":"acme"}')
    for tenant in ("acme", "globex"):
        handle = await place.done("hello", tenant)
        await store.append(subjects.inbox(tenant, handle.id), b"{}")
        await store.append(subjects.event(tenant, "someone", "happened"), b"{}")
        await store.append(subjects.dead_letter(tenant), b"{}")
        await store.append(subjects.ingress(tenant, "unknown"), b"{}")
        await effects.put(f"{tenant}.someone.key", b"{}")
        await hooks.put(f"hook.{tenant}", f'{{"tenant":"{tenant}"}}'.encode())
    await place.later(1)


async def erased_whole(place: Place, others: int) -> None:
    assert await all_of(place, "acme") == 0
    assert await all_of(place, "globex") == others
    assert [index.archive.partition("/")[0] for index in place.folder.indexes()] == ["globex"]
    left = {}
    for spec in await place.client.store.buckets("mesh_default_"):
        left[spec.name.removeprefix("mesh_default_")] = [
            each.key for each in await (await place.client.store.bucket(spec)).all()
        ]
    assert left["effects"] == ["globex.someone.key"]
    assert left["webhooks"] == ["hook.globex"]
    assert left["state"] == ["acme.key"]
    assert sorted(left["policies"] + left["limits"]) == sorted(KEPT)
    objects = await place.objects()
    contents = [(await objects.get(digest))[:10] for digest in await place.digests()]
    assert sorted(contents) == [b'"globex: o', b'"sssssssss']


async def test_everything_of_the_tenant_goes_and_nothing_of_another(place: Place) -> None:
    await furnish(place)
    others = await all_of(place, "globex")
    erased = await erasing(place).run()
    assert (erased.jobs, erased.archives, erased.objects, erased.left) == (3, 1, 1, 0)
    assert {name.removeprefix("mesh_default_")[:3] for name in erased.messages} >= {"JOB", "IN", "INB", "EVT", "DLQ"}
    assert {name.removeprefix("mesh_default_") for name in erased.keys} == {"effects", "limits", "policies", "webhooks"}
    await erased_whole(place, others)
    assert await erasing(place).run() == Erased("acme")


async def test_a_tenant_that_is_called_as_another_part_of_a_key_takes_nothing_else_along(place: Place) -> None:
    await decide(place, "limit.tool.tenant.calls", "limit.tool.tenant.capability.pay", "limit.tenant.calls.calls")
    for tenant in ("calls", "capability"):
        await erasing(place, tenant).run()
    left = [
        each.key
        for spec in await place.client.store.buckets("mesh_default_")
        if spec.name.endswith(("limits", "policies"))
        for each in await (await place.client.store.bucket(spec)).all()
    ]
    assert sorted(left) == ["limit.tool.tenant.calls", "limit.tool.tenant.capability.pay"]


async def test_what_a_tenant_names_is_read_a_subject_at_a_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that it ever did may be more than the memory of whoever erases it."""
    await furnish(place)
    store, asked = place.client.store, list[str]()
    read = store.read

    async def noted(stream: str, subject: str, **more: Any) -> Any:
        asked.append(subject)
        return await read(stream, subject, **more)

    monkeypatch.setattr(store, "read", noted)
    await erasing(place).run()
    assert asked
    assert [each for each in asked if "*" in each or ">" in each] == []


@pytest.mark.parametrize("point", ["_erase_messages", "_erase_keys"])
async def test_broken_off_and_done_again_it_is_done(place: Place, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await furnish(place)
    others = await all_of(place, "globex")

    async def crash(self: Erasing, erased: Erased) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Erasing, point, crash)
    with pytest.raises(KeyboardInterrupt):
        await erasing(place).run()
    monkeypatch.undo()
    await erasing(place).run()
    await erased_whole(place, others)


async def test_it_is_refused_while_a_job_runs_unless_jobs_are_ended_first(place: Place) -> None:
    handle = await submit(place.client, "echo", "wait", tenant="acme")
    async for _ in handle.follow(state := JobState()):
        if state.status == "running":
            break
    with pytest.raises(Refused, match="--cancel"):
        await erasing(place).run()
    assert (await handle.state()).status == "running"
    await erasing(place).cancel(30)
    assert (await handle.state()).status == "cancelled"
    assert (await erasing(place).run()).jobs == 1
    assert await all_of(place, "acme") == 0


@workflow("book")
async def book(job: Job, what: str) -> str:
    await job.step("booked", str, what, compensate=Undo(UNDONE.append))
    return (await job.approval("pay", what)).by


async def booked(place: Place, what: str, *, pause: bool = False) -> JobHandle:
    handle = await submit(place.client, "book", what, tenant="acme")
    await handle.watch(until=lambda state: state.status == "waiting", timeout=60)
    if pause:
        await handle.pause()
        await handle.watch(until=lambda state: state.status == "paused", timeout=60)
    return handle


async def test_what_jobs_that_wait_or_are_paused_had_done_is_undone_before_they_are_removed(place: Place) -> None:
    await place.host("booker", book)
    handles = [await booked(place, "a flight"), await booked(place, "a room", pause=True)]
    UNDONE.clear()
    await erasing(place).cancel(30)
    assert sorted(UNDONE) == ["a flight", "a room"]
    assert [(await each.state()).status for each in handles] == ["compensated", "compensated"]
    assert (await erasing(place).run()).jobs == 2


async def test_a_job_that_nobody_can_end_keeps_everything_there(place: Place) -> None:
    await place.host("booker", book)
    handle = await booked(place, "a flight")
    await place.crash("booker")
    with pytest.raises(Refused, match=r"not over after 5 s.*nothing was removed"):
        await erasing(place).cancel(5)
    assert (await handle.state()).steps["booked"].ended


async def test_an_object_that_was_put_lately_is_left_to_the_sweep(place: Place) -> None:
    """Another tenant may have put the same content, and be about to name it."""
    await place.done("o" * 100_000, "acme")
    erased = await erasing(place).run()
    assert (erased.objects, erased.left) == (0, 1)


def test_a_tenant_that_can_be_none_is_refused(place: Place) -> None:
    with pytest.raises(InvalidName):
        erasing(place, "*")
