"""An object goes once nothing names it, and not a moment before."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from mesh import Job, workflow
from mesh.protocols.errors import Refused
from mesh.protocols.ports import BucketSpec, Clock, Ids, Store, StoredObject
from mesh.protocols.subjects import Subjects
from mesh.transport.memory.objects import MemoryObjects
from mesh.upkeep import sweep as sweeping
from mesh.upkeep.policy import DAY
from mesh.upkeep.sweep import named_by_streams, sweep_objects
from tests.upkeep.upkeep_stage import Place, echo

pytestmark = pytest.mark.virtual


def drawn(size: int) -> str:
    return "x" * size


@workflow("draw")
async def draw(job: Job, size: int) -> int:
    """What is large stands in the middle: neither its input nor its result is, which a tombstone names."""
    return len(await job.step("drawn", drawn, size))


@pytest.fixture
async def place(clock: Clock, ids: Ids, tmp_path: Path) -> AsyncIterator[Place]:
    world = Place(clock, ids, tmp_path / "archive")
    await world.host("host", echo)
    yield world
    await world.close()


async def sweep(place: Place, *, dry: bool = False) -> list[StoredObject]:
    return await sweep_objects(
        place.client.store, place.client.subjects, place.client.clock, place.folder, grace=DAY, dry=dry
    )


async def test_what_nothing_names_goes_after_the_grace_period(place: Place) -> None:
    digest = await (await place.objects()).put(b"nobody's")
    assert await sweep(place) == []
    await place.later(2)
    assert [each.digest for each in await sweep(place, dry=True)] == [digest]
    assert [each.digest for each in await sweep(place)] == [digest]
    assert await place.digests() == set()
    assert await sweep(place) == []


async def test_what_puts_have_left_that_never_ended_goes_after_the_same_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidied: list[float] = []

    async def tidy(_: MemoryObjects, before: float) -> int:
        tidied.append(before)
        return 1

    monkeypatch.setattr(MemoryObjects, "tidy", tidy)
    assert await sweep(place, dry=True) == []
    assert tidied == []
    now = place.clock.now()
    assert await sweep(place) == []
    assert tidied == [pytest.approx(now - DAY, abs=60)]


async def test_an_old_object_that_was_put_again_a_moment_ago_stays(place: Place) -> None:
    """Whoever put it again is about to name it in a journal."""
    objects = await place.objects()
    digest = await objects.put(b"old")
    await place.later(2)
    assert await objects.put(b"old") == digest
    assert await sweep(place) == []


async def test_what_journals_live_or_archived_name_stays(place: Place) -> None:
    await place.done("x" * 100_000)
    named = await place.digests()
    assert named
    await place.later(2)
    assert await sweep(place) == []
    await place.archive()
    await place.later(40)
    await place.archive()
    assert await place.reader.heads() == []
    assert await sweep(place) == []
    shutil.rmtree(place.folder.path)
    assert {each.digest for each in await sweep(place)} == named


async def test_what_stands_in_a_named_object_or_in_an_agents_state_stays(place: Place) -> None:
    objects = await place.objects()
    inner = await objects.put(b"inner")
    outer = await objects.put(msgspec.json.encode({"see": inner}))
    kept = await objects.put(b"in a state")
    lost = await objects.put(b"lost")
    await place.done(f"look at {outer}")
    spec = BucketSpec(name=place.client.subjects.bucket("state"), storage="file")
    await (await place.client.store.bucket(spec)).put("agent.key", f'"{kept}"'.encode())
    await place.later(2)
    assert [each.digest for each in await sweep(place)] == [lost]
    assert await place.digests() == {inner, outer, kept}


async def test_a_job_that_is_archived_while_it_is_swept_keeps_its_objects(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are run by the same timer at night, and the store is large: one begins before the other has ended."""
    await place.host("painter", draw)
    await (await place.submit_job("draw", 100_000)).result(60)
    named = await place.digests()
    assert len(named) == 1
    await place.later(2)

    async def archived_first(store: Store, subjects: Subjects) -> set[str]:
        await place.archive()
        return await named_by_streams(store, subjects)

    monkeypatch.setattr(sweeping, "named_by_streams", archived_first)
    assert await sweep(place) == []
    assert await place.digests() == named


async def test_nothing_is_removed_while_an_archive_that_is_named_is_elsewhere(place: Place) -> None:
    await place.done("x" * 100_000)
    await place.later(2)
    await place.archive()
    await (await place.objects()).put(b"nobody's")
    await place.later(2)
    shutil.move(place.folder.path, place.folder.path.with_name("elsewhere"))
    with pytest.raises(Refused, match="--folder"):
        await sweep(place)
    assert len(await place.digests()) > 1
