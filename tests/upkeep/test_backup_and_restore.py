"""A mesh is saved while it works, its server is lost, and it goes on elsewhere: real servers, real processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mesh import Job, Mesh, workflow
from mesh.clock import SystemIds
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import ensure_streams, specs
from mesh.protocols.errors import Refused
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import BucketSpec, StreamSpec
from mesh.protocols.snapshots import Shape
from mesh.protocols.subjects import Subjects
from mesh.transport.memory.server import MemoryServer
from mesh.transport.nats.snapshots import NatsSnapshots
from mesh.upkeep.backup import NothingThere, back_up
from mesh.upkeep.backup_folder import BackupFolder, BadBackup, Saved
from mesh.upkeep.restore import put_back
from tests.cluster import Cluster
from tests.command_line import run_mesh
from tests.contract.places import eventually_none
from tests.servers import RealServer
from tests.upkeep.host_process import HostProcess

pytestmark = [pytest.mark.server]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RealServer, RealServer]]:
    """The one that is lost, and an empty one."""
    with RealServer(tmp_path / "lost") as lost, RealServer(tmp_path / "empty") as empty:
        yield lost, empty


def command(server: RealServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_mesh(*arguments, "--server", server.url, "-o", "json", folder=server.folder)


@asynccontextmanager
async def client(server: RealServer) -> AsyncIterator[Mesh]:
    async with Mesh.connect(server.url, name="test") as mesh:
        yield mesh


async def once(mesh: Mesh, job: str, condition: Callable[[JobState], bool]) -> None:
    async with asyncio.timeout(60):
        async for _ in mesh.job(job).follow(state := JobState()):
            if condition(state):
                return


async def test_jobs_under_way_are_finished_on_another_server(
    servers: tuple[RealServer, RealServer], tmp_path: Path
) -> None:
    lost, empty = servers
    large = "x" * 100_000
    with HostProcess(lost, tmp_path, "first") as host:
        await host.ready()
        async with client(lost) as mesh:
            over = await mesh.submit("note", large, key="over")
            assert await over.result(60) == large
            started = await mesh.submit("walk", "near")
            await once(mesh, started.id, lambda state: "first" in state.steps and state.steps["first"].ended)
            asking, napping = await mesh.submit("publish", "news"), await mesh.submit("nap", 3.0)
            for each in (asking, napping):
                await once(mesh, each.id, lambda state: state.status == "waiting")
            saved = await asyncio.to_thread(command, lost, "backup", str(tmp_path / "backup"))
            assert saved.returncode == 0, saved.stderr
    lost.kill()

    refused = await asyncio.to_thread(command, empty, "restore", str(tmp_path / "nowhere"))
    assert (refused.returncode, "no backup" in refused.stderr) == (2, True), refused.stderr
    restored = await asyncio.to_thread(command, empty, "restore", str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stderr
    assert [each["stream"] for each in json.loads(restored.stdout)["streams"]] == [
        each["stream"] for each in json.loads(saved.stdout)["streams"]
    ]
    (tmp_path / "second").touch()
    with HostProcess(empty, tmp_path, "successor") as host:
        await host.ready()
        async with client(empty) as mesh:
            assert await mesh.job(started.id).result(60) == ["first", "second", "near"]
            assert await mesh.job(napping.id).result(60) == "rested"
            (wait,) = (await mesh.job(asking.id).state()).open_waits
            await mesh.job(asking.id).approve(wait.opened.key, digest=wait.opened.digest, by="ada")
            assert await mesh.job(asking.id).result(60) == "news, says ada"
            again = await mesh.submit("note", large, key="over")
            assert (again.id, again.duplicate, await again.result(60)) == (over.id, True, large)
        refused = await asyncio.to_thread(command, empty, "restore", str(tmp_path / "backup"), "--replace")
        assert (refused.returncode, "mesh down" in refused.stderr) == (5, True), refused.stderr
    assert host.effects() == ["first", "second"]
    refused = await asyncio.to_thread(command, empty, "restore", str(tmp_path / "backup"))
    assert (refused.returncode, "--replace" in refused.stderr) == (5, True), refused.stderr
    replaced = await asyncio.to_thread(command, empty, "restore", str(tmp_path / "backup"), "--replace")
    assert replaced.returncode == 0, replaced.stderr
    async with client(empty) as mesh:
        assert (await mesh.job(started.id).state()).status == "running"


@workflow("hello")
async def hello(job: Job, name: str) -> str:
    return f"hello {name}"


async def test_what_is_handed_in_while_the_backup_is_made_never_shares_its_number_with_anything_later(
    servers: tuple[RealServer, RealServer], tmp_path: Path
) -> None:
    """The ingress is copied before the journals: a journal may name a message that the copy of the ingress lacks."""
    lost, empty = servers
    async with Mesh.connect(lost.url, process="host") as mesh:
        await mesh.host_workflow(hello)
        peer = mesh.peer
        subject, meanwhile = peer.subjects.ingress("default", "hello"), []

        def told(saved: Saved) -> None:
            if saved.name == peer.subjects.stream("IN"):
                names = (b'"Ada"', b'"Alan"')
                meanwhile.extend(asyncio.ensure_future(peer.store.append(subject, name)) for name in names)

        await peer.store.append(subject, b'"Grace"')
        summary = await back_up(peer.store, peer.subjects, peer.clock, tmp_path / "backup", told=told)
        last = max(ack.sequence for ack in await asyncio.gather(*meanwhile))
    ingress = next(each for each in summary.streams if each.name == peer.subjects.stream("IN"))
    assert (ingress.last, ingress.reached) == (1, last)
    async with client(empty) as mesh:
        peer = mesh.peer
        await put_back(peer.store, peer.subjects, peer.ids, BackupFolder(tmp_path / "backup"))
        assert (await peer.store.append(subject, b'"Barbara"')).sequence == last + 1
        assert [each.data for each in await peer.store.read(ingress.name, subject)] == [b'"Grace"', b'"Barbara"']


async def test_timers_that_were_set_before_come_due_after_a_restore(
    servers: tuple[RealServer, RealServer], tmp_path: Path
) -> None:
    lost, empty = servers
    subjects = Subjects()
    async with client(lost) as mesh:
        await ensure_streams(mesh.peer.store, subjects)
        now = time.time()
        for token, seconds in (("past", 0.5), ("soon", 3.0), ("far", 3600.0)):
            at = datetime.fromtimestamp(now + seconds, UTC).isoformat().replace("+00:00", "Z")
            headers = {"Nats-Schedule": f"@at {at}", "Nats-Schedule-Target": subjects.timer_due("default", "j1", token)}
            await mesh.peer.store.append(subjects.timer_set("default", "j1", token), b"{}", headers=headers)
        await back_up(mesh.peer.store, subjects, mesh.peer.clock, tmp_path / "backup")
    lost.stop()
    async with client(empty) as mesh:
        store = mesh.peer.store
        await put_back(store, subjects, mesh.peer.ids, BackupFolder(tmp_path / "backup"))

        async def still_set() -> bool:
            counts = await store.counts(subjects.stream("TIM"), subjects.timer_all())
            return set(counts) != {
                subjects.timer_due("default", "j1", "past"),
                subjects.timer_due("default", "j1", "soon"),
                subjects.timer_set("default", "j1", "far"),
            }

        await eventually_none(still_set)


class BrokenOff(Exception):
    """Somebody has lost patience."""


async def test_an_interrupted_restore_leaves_a_mesh_that_no_host_can_start_on(
    servers: tuple[RealServer, RealServer], tmp_path: Path
) -> None:
    lost, empty = servers
    async with Mesh.connect(lost.url, process="host") as mesh:
        await mesh.host_workflow(hello)
        assert await (await mesh.submit("hello", "Ada")).result(60) == "hello Ada"
        await back_up(mesh.peer.store, mesh.peer.subjects, mesh.peer.clock, tmp_path / "backup")
    folder = BackupFolder(tmp_path / "backup")

    def break_off(saved: Saved) -> None:
        if "JOB" in saved.name:
            raise BrokenOff

    async with client(empty) as mesh:
        peer = mesh.peer
        with pytest.raises(BrokenOff):
            await put_back(peer.store, peer.subjects, peer.ids, folder, told=break_off)
        with pytest.raises(Refused, match="overlap"):
            await peer.store.ensure_stream(specs(peer.subjects)[-1])
        with pytest.raises(Refused, match="--replace"):
            await put_back(peer.store, peer.subjects, peer.ids, folder)
        await put_back(peer.store, peer.subjects, peer.ids, folder, replace=True)
    async with Mesh.connect(empty.url, process="host") as mesh:
        await mesh.host_workflow(hello)
        assert await (await mesh.submit("hello", "Alan")).result(60) == "hello Alan"


async def test_nothing_can_start_on_a_mesh_of_which_a_restore_has_removed_a_part(
    servers: tuple[RealServer, RealServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would look like one without jobs."""
    lost, _ = servers
    async with Mesh.connect(lost.url, process="host") as mesh:
        await mesh.host_workflow(hello)
        assert await (await mesh.submit("hello", "Ada")).result(60) == "hello Ada"
        await back_up(mesh.peer.store, mesh.peer.subjects, mesh.peer.clock, tmp_path / "backup")
    remove, removed = NatsSnapshots.remove, list[str]()

    async def break_off(self: NatsSnapshots, name: str) -> None:
        if len(removed) == 3:
            raise BrokenOff
        removed.append(name)
        await remove(self, name)

    folder = BackupFolder(tmp_path / "backup")
    async with client(lost) as mesh:
        peer = mesh.peer
        monkeypatch.setattr(NatsSnapshots, "remove", break_off)
        with pytest.raises(BrokenOff):
            await put_back(peer.store, peer.subjects, peer.ids, folder, replace=True)
        with pytest.raises(Refused, match="overlap"):
            await peer.store.ensure_stream(specs(peer.subjects)[-1])
        monkeypatch.undo()
        await put_back(peer.store, peer.subjects, peer.ids, folder, replace=True)
        assert len(await Journals(peer.store, peer.subjects).heads()) == 1


async def test_a_server_that_cannot_keep_as_many_copies_says_so_before_anything_is_changed(
    servers: tuple[RealServer, RealServer], tmp_path: Path
) -> None:
    lost, empty = servers
    async with client(lost) as mesh:
        await ensure_streams(mesh.peer.store, mesh.peer.subjects)
        await back_up(mesh.peer.store, mesh.peer.subjects, mesh.peer.clock, tmp_path / "backup")
    async with client(empty) as mesh:
        peer = mesh.peer
        await peer.store.ensure_stream(specs(peer.subjects)[-1])
        await peer.store.append(peer.subjects.dead_letter("default"), b"{}")
        with pytest.raises(Refused, match="--replicas 1"):
            await put_back(
                peer.store, peer.subjects, peer.ids, BackupFolder(tmp_path / "backup"), replace=True, replicas=3
            )
        assert [each.messages for each in await peer.store.streams("mesh_default_")] == [1]


async def test_a_damaged_backup_changes_nothing(servers: tuple[RealServer, RealServer], tmp_path: Path) -> None:
    lost, empty = servers
    async with client(lost) as mesh:
        with pytest.raises(NothingThere):
            await back_up(mesh.peer.store, mesh.peer.subjects, mesh.peer.clock, tmp_path / "none")
        await mesh.peer.store.ensure_stream(StreamSpec(name="mesh_default_X", subjects=("x.>",)))
        await mesh.peer.store.append("x.1", b"one")
        await back_up(mesh.peer.store, mesh.peer.subjects, mesh.peer.clock, tmp_path / "backup")
        with pytest.raises(BadBackup, match="not empty"):
            await back_up(mesh.peer.store, mesh.peer.subjects, mesh.peer.clock, tmp_path / "backup")
    file = tmp_path / "backup" / "mesh_default_X.snapshot"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    async with client(empty) as mesh:
        peer = mesh.peer
        with pytest.raises(BadBackup, match="damaged"):
            await put_back(peer.store, peer.subjects, peer.ids, BackupFolder(tmp_path / "backup"))
        with pytest.raises(BadBackup, match="namespace 'default'"):
            await put_back(peer.store, Subjects("other"), peer.ids, BackupFolder(tmp_path / "backup"))
        assert await peer.store.streams("mesh_default_") == []


async def test_a_mesh_in_memory_is_not_saved(tmp_path: Path) -> None:
    server = MemoryServer(ids=SystemIds())
    connection = server.connect("client")
    with pytest.raises(Refused, match="in memory"):
        await back_up(connection.store, Subjects(), server.clock, tmp_path / "backup")
    await connection.close()


async def test_a_letter_that_dies_and_a_key_that_is_written_while_the_backup_is_made_do_not_keep_it_from_being_restored(
    servers: tuple[RealServer, RealServer], tmp_path: Path
) -> None:
    """The stream of dead letters is hidden until the end: what uses up its sequences goes to where it is hidden."""
    lost, empty = servers
    spec = BucketSpec(name="mesh_default_shelf", storage="file")
    async with client(lost) as mesh:
        peer = mesh.peer
        await ensure_streams(peer.store, peer.subjects)
        bucket = await peer.store.bucket(spec)
        await bucket.put("a", b"1")
        meanwhile: list[asyncio.Future[object]] = []

        def told(saved: Saved) -> None:
            if saved.name == peer.subjects.stream("DLQ"):
                meanwhile.append(asyncio.ensure_future(peer.store.append(peer.subjects.dead_letter("default"), b"{}")))
                meanwhile.append(asyncio.ensure_future(bucket.put("a", b"2")))

        summary = await back_up(peer.store, peer.subjects, peer.clock, tmp_path / "backup", told=told)
        await asyncio.gather(*meanwhile)
    letters = next(each for each in summary.streams if each.name == Subjects().stream("DLQ"))
    assert (letters.last, letters.reached) == (0, 1)
    async with client(empty) as mesh:
        peer = mesh.peer
        await put_back(peer.store, peer.subjects, peer.ids, BackupFolder(tmp_path / "backup"))
        assert (await peer.store.append(peer.subjects.dead_letter("default"), b"{}")).sequence == 2
        assert [each.key for each in await (await peer.store.bucket(spec)).all()] == ["a"]


async def test_what_has_lapsed_since_the_backup_was_made_is_not_missed(
    servers: tuple[RealServer, RealServer], tmp_path: Path
) -> None:
    """Keys with a TTL: the leases of gateways, webhooks that were delivered, effects behind their horizon."""
    lost, empty = servers
    spec = BucketSpec(name="mesh_default_shelf", storage="file")
    async with client(lost) as mesh:
        peer = mesh.peer
        bucket = await peer.store.bucket(spec)
        await bucket.put("lapses", b"1", ttl=10)
        await bucket.put("stays", b"2")
        await bucket.put("lapses-too", b"3", ttl=10)
        summary = await back_up(peer.store, peer.subjects, peer.clock, tmp_path / "backup")
        assert next(each for each in summary.streams if each.kind == "bucket").messages == 3

        async def lapsed() -> bool:
            return len([each for each in await bucket.all() if each.value is not None]) > 1

        await eventually_none(lapsed)
    async with client(empty) as mesh:
        peer = mesh.peer
        await put_back(peer.store, peer.subjects, peer.ids, BackupFolder(tmp_path / "backup"))
        kept = await peer.store.bucket(spec)
        assert [each.key for each in await kept.all() if each.value is not None] == ["stays"]
        assert await kept.put("stays", b"4") > 3


async def test_a_client_that_makes_a_bucket_anew_when_it_is_removed_does_not_keep_it_from_being_put_back(
    servers: tuple[RealServer, RealServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever watches a bucket does, be it a gateway or somebody's `mesh top`; no host is asked for that."""
    lost, empty = servers
    spec = BucketSpec(name="mesh_default_shelf", storage="file")
    async with client(lost) as mesh:
        peer = mesh.peer
        await (await peer.store.bucket(spec)).put("a", b"1")
        await back_up(peer.store, peer.subjects, peer.clock, tmp_path / "backup")
    put_back_once = NatsSnapshots.put_back
    made: list[str] = []
    async with client(empty) as mesh, client(empty) as watcher:
        peer = mesh.peer

        async def somebody_is_faster(
            self: NatsSnapshots, shape: Shape, pieces: Callable[[], Iterable[bytes]]
        ) -> object:
            if len(made) < 2:
                made.append(spec.name)
                await watcher.peer.store.bucket(spec)
            return await put_back_once(self, shape, pieces)

        monkeypatch.setattr(NatsSnapshots, "put_back", somebody_is_faster)
        await put_back(peer.store, peer.subjects, peer.ids, BackupFolder(tmp_path / "backup"))
        found = await (await peer.store.bucket(spec)).get("a")
    assert (found is not None and found.value, len(made)) == (b"1", 2)


async def test_what_a_cluster_keeps_is_put_back_with_its_sequences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that was just made there is led a moment later, and only then takes what came after its copy."""
    spec, take = BucketSpec(name="mesh_default_shelf", storage="file"), NatsSnapshots.take
    async with Cluster(tmp_path / "cluster") as cluster, Mesh.connect(cluster.url, name="test") as mesh:
        peer = mesh.peer
        await ensure_streams(peer.store, peer.subjects)
        bucket = await peer.store.bucket(spec)
        await bucket.put("a", b"1")

        async def rewritten_meanwhile(
            self: NatsSnapshots, stream: str, write: Callable[[bytes], None], *, consumers: bool
        ) -> Shape:
            shape = await take(self, stream, write, consumers=consumers)
            if stream == f"KV_{spec.name}":
                await bucket.put("a", b"2")
            return shape

        monkeypatch.setattr(NatsSnapshots, "take", rewritten_meanwhile)
        await back_up(peer.store, peer.subjects, peer.clock, tmp_path / "backup")
        await put_back(peer.store, peer.subjects, peer.ids, BackupFolder(tmp_path / "backup"), replace=True)
        bucket = await peer.store.bucket(spec)
        assert await bucket.put("b", b"1") == 3

        async def behind() -> bool:
            return [(each.key, each.value, each.revision) for each in await bucket.all()] != [
                ("a", b"2", 2),
                ("b", b"1", 3),
            ]

        await eventually_none(behind)
