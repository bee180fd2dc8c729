"""What is written, replaced and removed while the server copies a stream: its copy has what is still there when it comes to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from mesh import Mesh
from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import BucketSpec, Message, Objects, StreamSpec
from mesh.protocols.snapshots import Shape
from mesh.transport.nats import objects as stored_objects
from mesh.transport.nats.snapshots import _Taking
from mesh.upkeep import backup as backing_up
from mesh.upkeep.backup import back_up
from mesh.upkeep.backup_folder import BackupFolder, BadBackup, Saved, Summary
from mesh.upkeep.restore import put_back
from mesh.upkeep.rewritten import Rewritten
from tests.servers import RealServer

pytestmark = [pytest.mark.server]
MANY, LARGE = 100, 128 * 1024
"""More than a server sends before it hears that something has come: what stands behind is copied later."""


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    with RealServer(tmp_path / "lost") as server:
        async with Mesh.connect(server.url, name="test") as mesh:
            yield mesh


async def saved(mesh: Mesh, folder: Path) -> Summary:
    return await back_up(mesh.peer.store, mesh.peer.subjects, mesh.peer.clock, folder)


async def restored(mesh: Mesh, folder: Path) -> None:
    await put_back(mesh.peer.store, mesh.peer.subjects, mesh.peer.ids, BackupFolder(folder), replace=True)


class Copies:
    """The copies of one stream: each waits, once it has begun, until `meanwhile` has been done."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, stream: str, meanwhile: Callable[[int], Awaitable[None]]
    ) -> None:
        self.made = 0
        self._meanwhile = meanwhile
        self._receive = _Taking.receive
        self._held: dict[_Taking, list[Message]] = {}
        self._tasks: list[asyncio.Task[None]] = []

        def receive(taking: _Taking, message: Message) -> None:
            if taking._stream != stream:
                return self._receive(taking, message)
            if taking not in self._held:
                self._held[taking] = []
                self._tasks.append(asyncio.create_task(self._go_on(taking)))
            self._held[taking].append(message)
            if self._tasks[-1].done():
                self._hand_over(taking)
            return None

        monkeypatch.setattr(_Taking, "receive", receive)

    async def _go_on(self, taking: _Taking) -> None:
        self.made += 1
        await self._meanwhile(self.made)
        self._hand_over(taking)

    def _hand_over(self, taking: _Taking) -> None:
        held, self._held[taking] = self._held[taking], []
        for each in held:
            self._receive(taking, each)


async def test_a_key_that_is_rewritten_or_removed_while_its_bucket_is_copied_is_as_it_was_last(
    mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An effect that happened was in no copy, neither as begun nor as done, and happened again after a restore."""
    spec = BucketSpec(name=mesh.peer.subjects.bucket("effects"), storage="file")
    bucket = await mesh.peer.store.bucket(spec)
    for number in range(MANY):
        await bucket.put(f"large-{number}", os.urandom(LARGE))
    await bucket.put("acme.pay-1", b"begun", revision=0)
    await bucket.put("acme.pay-2", b"begun")
    await bucket.put("acme.lapses", b"begun", ttl=3600)

    async def done(count: int) -> None:
        await bucket.put("large-0", b"first")
        await bucket.delete("acme.pay-2")
        await bucket.put("acme.lapses", b"done", ttl=3600)
        await bucket.put("acme.pay-1", b"done", revision=MANY + 1)
        await bucket.put("large-0", b"last")

    copies = Copies(monkeypatch, f"KV_{spec.name}", done)
    summary = await saved(mesh, tmp_path / "backup")
    before = sorted(await bucket.all(), key=lambda each: each.key)
    await restored(mesh, tmp_path / "backup")
    bucket = await mesh.peer.store.bucket(spec)
    assert sorted(await bucket.all(), key=lambda each: each.key) == before
    assert await bucket.put("next", b"1") == before[0].revision + 3
    (shelf,) = summary.streams
    assert (copies.made, [each.messages for each in [shelf.later] if each]) == (1, [4])


async def test_an_object_that_is_put_again_while_objects_are_copied_is_there_after_a_restore(
    mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = await mesh.peer.store.objects(mesh.peer.subjects.bucket("values"))
    for _ in range(MANY):
        await objects.put(os.urandom(LARGE))
    digest = await objects.put(b"old")
    monkeypatch.setattr(stored_objects, "FRESH", 0.0)

    async def again(count: int) -> None:
        await objects.put(b"old")
        await objects.put(b"new, and half of it in the copy would be no good")

    Copies(monkeypatch, f"OBJ_{mesh.peer.subjects.bucket('values')}", again)
    (values,) = (await saved(mesh, tmp_path / "backup")).streams
    await restored(mesh, tmp_path / "backup")
    kept: Objects = await mesh.peer.store.objects(mesh.peer.subjects.bucket("values"))
    assert (len(await kept.all()), await kept.get(digest)) == (MANY + 1, b"old")
    assert [each.messages for each in [values.later] if each] == [1]


async def journaled(mesh: Mesh) -> str:
    """A stream of which the last message would be copied last."""
    await mesh.peer.store.ensure_stream(StreamSpec(name="mesh_default_X", subjects=("x.>",)))
    for number in range(MANY):
        await mesh.peer.store.append(f"x.{number}", os.urandom(LARGE))
    return "mesh_default_X"


async def test_a_stream_from_which_something_is_removed_while_it_is_copied_is_copied_again(
    mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `mesh archive run`, which cron may have begun: the copy could never be put back."""
    stream = await journaled(mesh)

    async def archived(count: int) -> None:
        if count == 1:
            await mesh.peer.store.purge(stream, f"x.{MANY - 1}")
            await mesh.peer.store.append("x.tombstone", b"archived")

    copies = Copies(monkeypatch, stream, archived)
    monkeypatch.setattr(backing_up, "PAUSES", (0.0, 0.0))
    (journals,) = (await saved(mesh, tmp_path / "backup")).streams
    await restored(mesh, tmp_path / "backup")
    assert (copies.made, journals.messages) == (2, MANY)
    assert len(await mesh.peer.store.read(stream, "x.tombstone")) == 1


async def test_a_backup_that_may_lack_something_says_so_and_is_none(
    mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = await journaled(mesh)

    async def archived(count: int) -> None:
        await mesh.peer.store.purge(stream, f"x.{MANY - count}")

    copies = Copies(monkeypatch, stream, archived)
    monkeypatch.setattr(backing_up, "PAUSES", (0.0, 0.0))
    with pytest.raises(Unavailable, match="archive run"):
        await saved(mesh, tmp_path / "backup")
    assert copies.made == 2
    assert list((tmp_path / "backup").iterdir()) == []


def test_a_backup_of_which_what_came_later_is_damaged_is_not_restored_and_an_older_one_has_nothing_of_that(
    tmp_path: Path,
) -> None:
    folder = BackupFolder.create(tmp_path / "backup")
    writer = folder.writer("KV_x")
    writer.write(b"copy")
    digest, later = writer.close(), [Rewritten("$KV.x.a", 7, b"\0 1", {"Nats-TTL": "10"})]
    copy = Saved(
        kind="bucket",
        file=writer.path.name,
        sha256=digest,
        size=writer.size,
        messages=1,
        reached=7,
        consumers=False,
        shape=Shape(config={"name": "KV_x"}, state={}),
        later=folder.keep("KV_x", later),
    )
    summary = Summary(
        format=1, namespace="default", server_version="2", protocol=1, began=0.0, ended=1.0, streams=(copy,)
    )
    folder.conclude(summary)
    folder.verify(summary)
    assert list(folder.later(copy)) == later
    (file,) = folder.path.glob("*.later")
    file.write_bytes(b"?")
    with pytest.raises(BadBackup, match=file.name):
        folder.verify(folder.summary())
    assert list(folder.later(msgspec.structs.replace(copy, later=None))) == []
