"""Workers that are forked instead of started: they must not be able to tell, nor must the supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from mesh.host.channel import Orders, Report, line, parse_report
from mesh.host.manifest import AgentEntry, Manifest, WorkflowEntry
from mesh.host.nursery_client import ForkedProcess, NurserySpawner, forkable
from mesh.host.nursery_messages import LARGEST
from mesh.host.spawner_choice import own_modules, spawner_for
from mesh.host.spawning import PlainProcess, PlainSpawner
from mesh.server.process_mark import mark_of
from mesh.server.waiting import wait_until
from mesh.settings.target import ServerTarget

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(sys.platform != "linux", reason="nurseries need Linux"),
]
UNLOADABLE = "no_such_module:X"


class Birth:
    """A worker with its channel."""

    def __init__(self, process: ForkedProcess | PlainProcess, channel: socket.socket) -> None:
        self.process = process
        self.channel = channel

    async def give_orders(self, use: str = UNLOADABLE) -> None:
        target = ServerTarget(url="nats://127.0.0.1:1")
        orders = Orders(token="h-a-1", host="h", namespace="n", target=target, kind="agent", use=use, folder="/tmp")
        await asyncio.to_thread(self.channel.sendall, line(orders))

    async def report(self) -> Report:
        return parse_report((await asyncio.to_thread(self.channel.recv, 65536)).strip())


@pytest.fixture
async def nursery() -> AsyncIterator[NurserySpawner]:
    spawner = NurserySpawner(["no.such.module"])
    yield spawner
    await spawner.close()


async def bear(nursery: NurserySpawner, folder: Path, environment: Mapping[str, str] | None = None) -> Birth:
    ours, theirs = socket.socketpair()
    ours.settimeout(40)
    with theirs:
        process = await nursery.spawn(theirs.fileno(), folder, {**os.environ, **(environment or {})})
    assert isinstance(process, ForkedProcess | PlainProcess)
    return Birth(process, ours)


async def test_a_forked_worker_takes_orders_reports_and_ends_like_any_other(
    nursery: NurserySpawner, tmp_path: Path
) -> None:
    born = await bear(nursery, tmp_path)
    await born.give_orders()
    assert "no_such_module" in str(await born.report())
    assert await asyncio.wait_for(born.process.wait(), 40) == 78
    assert b"no_such_module" in await born.process.stderr.read()
    assert mark_of(born.process.pid) is None


async def test_it_has_its_own_session_folder_environment_and_name(nursery: NurserySpawner, tmp_path: Path) -> None:
    born = await bear(nursery, tmp_path, {"MESH_PROCESS": "blue-echo-1", "COLOUR": "blue"})
    proc = Path(f"/proc/{born.process.pid}")  # it waits for its orders
    try:
        assert os.getsid(born.process.pid) == born.process.pid
        assert (proc / "cwd").readlink() == tmp_path
        assert (proc / "comm").read_text().strip() == "blue-echo-1"
        assert (proc / "fd" / "0").readlink() == Path(os.devnull)
    finally:
        os.kill(born.process.pid, signal.SIGKILL)
    assert await asyncio.wait_for(born.process.wait(), 40) == -signal.SIGKILL


async def test_it_holds_no_descriptor_but_its_own(nursery: NurserySpawner, tmp_path: Path) -> None:
    births = [await bear(nursery, tmp_path) for _ in range(3)]
    for each in births:  # 0, 1, 2, the channel, and no more
        assert await asyncio.to_thread(
            wait_until, lambda pid=each.process.pid: len(os.listdir(f"/proc/{pid}/fd")) == 4, 30
        )
    for each in births:
        each.channel.close()
    assert [await asyncio.wait_for(each.process.wait(), 40) for each in births] == [1, 1, 1]


async def test_workers_outlive_a_nursery_that_is_killed_and_their_end_is_still_seen(
    nursery: NurserySpawner, tmp_path: Path
) -> None:
    born = await bear(nursery, tmp_path)
    assert nursery._process is not None
    os.kill(nursery._process.pid, signal.SIGKILL)
    await nursery._process.wait()
    async with asyncio.timeout(40):
        while nursery._socket is not None:  # noqa: ASYNC110 - until its end is noticed: the socket tells it, the process may be first
            await asyncio.sleep(0.005)
    again = await bear(nursery, tmp_path)
    assert mark_of(born.process.pid) is not None
    for each in (born, again):
        os.kill(each.process.pid, signal.SIGKILL)
    assert await asyncio.wait_for(born.process.wait(), 40) == 255
    assert await asyncio.wait_for(again.process.wait(), 40) == -signal.SIGKILL


async def test_a_birth_in_a_folder_that_is_gone_is_an_error(nursery: NurserySpawner, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="ended at its birth"):
        await bear(nursery, tmp_path / "nowhere")


async def test_the_nursery_ends_with_its_supervisor(nursery: NurserySpawner, tmp_path: Path) -> None:
    born = await bear(nursery, tmp_path)
    assert nursery._process is not None
    mark = mark_of(nursery._process.pid)
    await nursery.close()
    await nursery.close()
    assert mark is not None
    assert not mark.alive
    os.kill(born.process.pid, signal.SIGKILL)


async def test_what_a_fork_cannot_give_is_started_the_plain_way(nursery: NurserySpawner, tmp_path: Path) -> None:
    for environment in ({"PYTHONHASHSEED": "7"}, {f"LARGE{n}": "x" * (LARGEST // 4) for n in range(4)}):
        born = await bear(nursery, tmp_path, environment)
        assert isinstance(born.process, PlainProcess)
        born.channel.close()
        assert await asyncio.wait_for(born.process.wait(), 40) == 1


async def test_an_environment_that_is_no_text_reaches_the_worker_as_it_is(
    nursery: NurserySpawner, tmp_path: Path
) -> None:
    born = await bear(nursery, tmp_path, {"WORD": os.fsdecode(b"caf\xe9")})
    proc = Path(f"/proc/{born.process.pid}")
    assert b"WORD=caf\xe9" in (proc / "environ").read_bytes().split(b"\0")
    born.channel.close()
    assert await asyncio.wait_for(born.process.wait(), 40) == 1


def test_an_environment_that_changes_the_interpreter_is_not_forked() -> None:
    ours = {"HOME": "/", "PYTHONPATH": "x"}
    assert forkable({**ours, "COLOUR": "blue", "PYTHONUNBUFFERED": "1"}, ours)
    assert not forkable({"HOME": "/"}, ours)
    assert not forkable({**ours, "LD_PRELOAD": "x"}, ours)


def test_a_nursery_is_used_where_it_pays_and_does_no_harm() -> None:
    one = Manifest(agents=(AgentEntry(use="a:B"),))
    two = Manifest(agents=(AgentEntry(use="a:B", instances=2),))
    assert isinstance(spawner_for(one), PlainSpawner)
    assert isinstance(spawner_for(two), NurserySpawner)
    assert isinstance(spawner_for(two, reload=True), PlainSpawner)


def test_only_the_meshs_own_modules_are_loaded_beforehand() -> None:
    uses = ("mesh.agents.review.specialists:A", "mesh.agents.review.specialists:B", "shop:C", "d.py")
    manifest = Manifest(
        agents=tuple(AgentEntry(use=use) for use in uses),
        workflows=(WorkflowEntry(use="mesh.agents.review.workflow:w"),),
    )
    assert own_modules(manifest) == ("mesh.agents.review.specialists", "mesh.agents.review.workflow")
