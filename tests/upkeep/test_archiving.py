"""Ended jobs leave the journal for an archive: nothing is lost on the way, wherever it breaks off, and keys are still known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mesh import Job, workflow
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.handle import JobHandle
from mesh.jobs.outside.listing import show_job
from mesh.protocols.errors import KeyReused, MeshError, Refused
from mesh.protocols.ports import Clock, Ids
from mesh.protocols.submission import job_id_for_key
from mesh.testing.virtual_time import VirtualClock
from mesh.upkeep import archive_folder
from mesh.upkeep.archive_folder import ArchiveFolder, BadArchive
from mesh.upkeep.archiving import Archiving, Report
from mesh.upkeep.policy import DAY, Retention
from tests.jobs.job_stage import World

pytestmark = pytest.mark.virtual

POLICY = Retention(days=1)


@workflow("echo")
async def echo(job: Job, given: str) -> str:
    if given == "wait":
        await asyncio.Event().wait()
    if given == "fail":
        raise Refused("I will not")
    said = await job.step("upper", str.upper, given)
    return said * 20_000 if given == "large" else said


class Planted(Exception):
    """The crash."""


class Archives:
    """A world with one host, and its archives."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = ArchiveFolder(folder)

    def archiving(self, retention: Retention = POLICY, crash_at: str = "") -> Archiving:
        def reached(step: str) -> None:
            if step == crash_at:
                raise Planted(step)

        client = self.world.client
        return Archiving(
            client.store, client.subjects, client.clock, client.ids, self.folder, retention, reached=reached
        )

    async def done(self, given: str, **terms: str) -> JobHandle:
        """A job that has ended."""
        handle = await self.world.submit_job("echo", given, **terms)
        try:
            await handle.result(60)
        except MeshError:
            assert given == "fail"
        return handle

    async def entries(self, handle: JobHandle) -> list[bytes]:
        client = self.world.client
        stored = await client.store.read(
            self.world.reader.stream_of(handle.id), client.subjects.job(handle.tenant, handle.id)
        )
        return [each.data for each in stored]

    async def later(self, days: float) -> None:
        """The server's clock, and everybody's, says so; no host needs to live through it."""
        clock = self.world.clock
        assert isinstance(clock, VirtualClock)
        clock.shift(days * DAY)


@pytest.fixture
async def archives(clock: Clock, ids: Ids, tmp_path: Path) -> AsyncIterator[Archives]:
    world = World(clock, ids)
    await world.host("host", echo)
    yield Archives(world, tmp_path / "archive")
    await world.close()


async def test_an_ended_job_is_in_the_archive_and_a_tombstone_says_so(archives: Archives) -> None:
    handle = await archives.done("hello", key="k1")
    before = await archives.entries(handle)
    client = archives.world.client
    values = Values(client.store, client.subjects, client.clock)
    live = await show_job(archives.world.reader, values, handle.id)
    await archives.later(2)
    report = await archives.archiving().run()
    assert (report.archived, report.finished, report.outlived) == (1, 0, 0)
    index, row = archives.folder.find(handle.id[:12])
    assert [line.entry.encode() for line in archives.folder.entries(index, handle.id)] == before
    assert (row.tenant, row.workflow, row.state, row.key) == ("default", "echo", "completed", "k1")
    state = await handle.state()
    assert (len(await archives.entries(handle)), state.status) == (1, "completed")
    assert state.archived is not None
    assert (state.archived.archive, state.archived.entries) == (index.archive, len(before))
    shown = await show_job(archives.world.reader, values, handle.id)
    assert set(shown) == {*live, "archived"}
    assert (shown["state"], shown["result"], shown["archived"]["archive"]) == ("completed", "HELLO", index.archive)
    again = await archives.archiving().run()
    assert (again.archived, again.finished, again.archives) == (0, 0, [])


@pytest.mark.parametrize("given", ["hello", "large", "fail"])
async def test_a_repeated_key_is_told_the_old_outcome(archives: Archives, given: str) -> None:
    handle = await archives.done(given, key="k1")
    await archives.later(2)
    await archives.archiving().run()
    again = await archives.world.submit_job("echo", given, key="k1")
    assert (again.id, again.duplicate) == (handle.id, True)
    if given == "fail":
        with pytest.raises(Refused, match="I will not"):
            await again.result(10)
    else:
        assert (await again.result(10)) == (given.upper() if given == "hello" else "LARGE" * 20_000)
    with pytest.raises(KeyReused):
        await archives.world.submit_job("echo", "something else", key="k1")


@pytest.mark.parametrize("point", ["copied", "entombed", "purged", "silenced"])
async def test_a_crash_anywhere_loses_nothing_and_the_next_run_finishes_it(archives: Archives, point: str) -> None:
    handles = [await archives.done(f"number {number}", key=f"k{number}") for number in range(3)]
    before = [await archives.entries(each) for each in handles]
    client = archives.world.client
    for each in handles:
        await client.store.append(client.subjects.inbox("default", each.id), b"{}")
    await archives.later(2)
    with pytest.raises(Planted):
        await archives.archiving(crash_at=point).run()
    for each, entries in zip(handles, before, strict=True):
        left = await archives.entries(each)
        assert left[: len(entries)] == entries or (await each.state()).archived is not None
    report = await archives.archiving().run()
    assert report.archives == []
    for each, entries in zip(handles, before, strict=True):
        index, _ = archives.folder.find(each.id)
        assert [line.entry.encode() for line in archives.folder.entries(index, each.id)] == entries
        assert len(await archives.entries(each)) == 1
        assert (await archives.world.submit_job("echo", "number 0", key="k0")).id == handles[0].id
    assert await client.store.counts("mesh_default_INBOX", client.subjects.inbox_filter()) == {}


async def test_a_crash_while_an_archive_is_written_leaves_the_journal_alone(
    archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await archives.done("hello")
    before = await archives.entries(handle)
    await archives.later(2)
    write = archive_folder.write_lines

    def write_half(path: Path, *rest: object) -> None:
        write(path, *rest)  # type: ignore[arg-type]
        path.write_bytes(path.read_bytes()[:-20])

    monkeypatch.setattr(archive_folder, "write_lines", write_half)
    with pytest.raises(BadArchive, match="cannot be read"):
        await archives.archiving().run()
    assert await archives.entries(handle) == before
    monkeypatch.undo()
    report = await archives.archiving().run()
    assert report.archived == 1
    assert [each.name for each in archives.folder.path.glob("*/*.gz")] == [Path(report.archives[0]).name]


async def test_what_else_is_in_the_folder_is_neither_read_nor_removed(archives: Archives) -> None:
    """`--folder .`, in a folder with other folders: one of them may be called as a tenant is."""
    other = archives.folder.path / "default"
    other.mkdir(parents=True)
    for name in ("notes.txt", "package.json", "data.parquet"):
        (other / name).write_text("mine")
    half = other / "20260101T000000.000000-abc.jsonl.gz"
    half.write_text("what a crash has left")
    await archives.done("hello")
    await archives.later(2)
    assert (await archives.archiving().run()).archived == 1
    assert not half.exists()
    assert archives.folder.remove("default") == 1
    assert sorted(each.name for each in other.iterdir()) == ["data.parquet", "notes.txt", "package.json"]


async def test_what_is_young_or_not_over_stays_and_tenants_have_days_of_their_own(archives: Archives) -> None:
    slow, quick = await archives.done("a", tenant="slow"), await archives.done("b", tenant="quick")
    open_one = await archives.world.submit_job("echo", "wait", tenant="quick")
    await archives.later(2)
    policy = Retention(days=10, tenants={"quick": 1})
    assert [each.entry.job for each in await archives.archiving(policy).due()] == [quick.id]
    await archives.archiving(policy).run()
    young = await archives.done("c", tenant="quick")
    assert [(await each.state()).archived is not None for each in (slow, quick, open_one, young)] == [
        False, True, False, False,
    ]  # fmt: skip
    assert (await archives.archiving(policy).run("slow")).archived == 0
    await archives.later(10)
    assert (await archives.archiving(policy).run("slow")).archived == 1


async def test_a_tombstone_outlives_the_horizon_and_then_the_key_is_free(archives: Archives) -> None:
    client = archives.world.client
    await client.store.append(client.subjects.ingress("default", "echo"), b'"hello"', headers={"Mesh-Key": "k1"})
    assert await JobHandle(client, job_id_for_key("default", "k1")).result(60) == "HELLO"
    await archives.later(2)
    report = await archives.archiving().run()
    assert (report.archived, report.ingress) == (1, 1)
    await archives.later(29)
    assert (await archives.archiving().run()).outlived == 0
    assert (await archives.world.submit_job("echo", "hello", key="k1")).duplicate
    await archives.later(1.1)
    assert (await archives.archiving().run()).outlived == 1
    assert await archives.world.reader.heads() == []
    assert not (await archives.world.submit_job("echo", "other", key="k1")).duplicate


async def test_what_a_tenant_handed_in_is_purged_with_its_jobs_whoever_else_is_left_alone(archives: Archives) -> None:
    """Nothing of a job may be left in the ingress once its tombstone is gone: it would be taken in again."""
    client = archives.world.client
    for tenant in ("acme", "globex"):
        await client.store.append(client.subjects.ingress(tenant, "echo"), b'"hello"', headers={"Mesh-Key": "k1"})
        await (await archives.world.submit_job("echo", "hello", tenant=tenant, key="k1")).result(60)
    await archives.later(2)
    report = await archives.archiving().run("acme")
    assert (report.archived, report.ingress) == (1, 1)
    left = await client.store.counts("mesh_default_IN", client.subjects.ingress_all())
    assert left == {client.subjects.ingress("globex", "echo"): 1}


async def test_parquet_holds_the_same(archives: Archives) -> None:
    pytest.importorskip("duckdb")
    handle = await archives.done('it\'s "quoted" ümläut\n')
    before = await archives.entries(handle)
    await archives.later(2)
    report = await archives.archiving(Retention(days=1, format="parquet")).run()
    assert report.archives[0].endswith(".parquet")
    index, _ = archives.folder.find(handle.id)
    assert [line.entry.encode() for line in archives.folder.entries(index, handle.id)] == before


async def test_where_nobody_ever_hosted_a_workflow_there_is_nothing_to_do(
    clock: Clock, ids: Ids, tmp_path: Path
) -> None:
    world = World(clock, ids)
    assert await Archives(world, tmp_path).archiving().run() == Report()
    await world.close()


async def test_one_run_at_a_time_works_on_a_folder(archives: Archives) -> None:
    with archives.folder.alone(), pytest.raises(Refused, match="wait for it"):
        await archives.archiving().run()


@pytest.mark.parametrize("wrong", [{"days": -1}, {"horizon": 0}, {"tenants": {"a": -1.0}}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    make: Callable[..., Retention] = Retention
    with pytest.raises(ValueError, match="days must be"):
        make(**wrong)
