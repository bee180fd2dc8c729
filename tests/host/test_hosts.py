"""Hosts over stub workers: names, records, health checks, reload, and going down."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from mesh.clock import SystemClock
from mesh.host.claim import claim_another, claim_name
from mesh.host.console import Console
from mesh.host.health import Health
from mesh.host.host import Host, HostOptions
from mesh.host.host_name import free_names, machine_name
from mesh.host.host_record import HostRecord, live_hosts, write_host
from mesh.host.manifest import AgentEntry, HostTable, Manifest
from mesh.host.spawning import PlainSpawner
from mesh.host.stopping import stop_hosts
from mesh.host.supervisor import NotReady
from mesh.protocols.errors import InvalidName, Refused, TimedOut
from mesh.protocols.naming.names import check_name
from mesh.server.process_mark import mark_of
from mesh.settings.errors import BadSettings
from mesh.settings.folder import MeshFolder
from mesh.settings.target import ServerTarget
from tests.host.conftest import QUICK, STUB, entry

TARGET = ServerTarget(url="nats://127.0.0.1:1")


def manifest(folder: MeshFolder, *agents: AgentEntry, name: str = "mesh.toml", **host: object) -> Manifest:
    settings = HostTable(**{"restarts": QUICK, "grace": 2.0, "start_timeout": 45.0, **host})  # type: ignore[arg-type]
    return Manifest(host=settings, agents=agents or (entry(),), path=str(folder.path.parent / name))


def claim(folder: MeshFolder, of: Manifest, asked: str | None = None) -> HostRecord:
    return claim_name(folder, of, asked=asked, namespace="default", url=TARGET.url, clock=SystemClock())


MakeHost = Callable[..., Awaitable[Host]]


@pytest.fixture
async def host(folder: MeshFolder) -> AsyncIterator[MakeHost]:
    made: list[Host] = []

    async def make(*agents: AgentEntry, options: HostOptions | None = None, **settings: object) -> Host:
        whole = manifest(folder, *agents, **settings)
        made.append(
            Host(whole, claim(folder, whole), target=TARGET, folder=folder, options=options, spawner=PlainSpawner(STUB))
        )
        await made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.kill()
        await each.drain()


async def http(port: int, request: str) -> tuple[int, object]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{request} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 30)).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body) if body else None


async def test_a_hosts_record_lists_its_processes_and_goes_with_it(host: MakeHost, folder: MeshFolder) -> None:
    running = await host(entry(instances=2))
    await running.until_ready()
    (record,) = live_hosts(folder)
    assert record.state == "ready"
    assert [(each.process, each.state, each.agent) for each in record.processes] == [
        (f"{record.name}-stub-1", "ready", "stub"),
        (f"{record.name}-stub-2", "ready", "stub"),
    ]
    assert all(mark_of(each.pid) is not None for each in record.processes)
    await running.drain()
    assert live_hosts(folder) == []
    assert list(folder.hosts.glob("*.json")) == []


async def test_leaving_an_async_with_leaves_no_process(folder: MeshFolder) -> None:
    whole = manifest(folder)
    async with Host(whole, claim(folder, whole), target=TARGET, folder=folder, spawner=PlainSpawner(STUB)) as running:
        pid = running.supervisor.keepers[0].pid
    assert mark_of(pid) is None


async def test_an_async_with_that_does_not_get_ready_leaves_no_process(folder: MeshFolder) -> None:
    whole = manifest(folder, entry(), entry("fail", name="bad"))
    running = Host(whole, claim(folder, whole), target=TARGET, folder=folder, spawner=PlainSpawner(STUB))
    with pytest.raises(NotReady, match="cannot load x"):
        await running.__aenter__()
    assert [keeper.pid for keeper in running.supervisor.keepers] == [0, 0]


def test_the_same_manifest_twice_is_refused_unless_a_name_is_given(folder: MeshFolder) -> None:
    first = claim(folder, manifest(folder))
    with pytest.raises(Refused, match="--host-name"):
        claim(folder, manifest(folder))
    assert claim(folder, manifest(folder), asked="other").name == "other"
    with pytest.raises(Refused, match=f"--host {first.name}"):
        claim(folder, manifest(folder), asked=first.name)


def test_another_manifest_in_the_folder_gets_a_new_name(folder: MeshFolder) -> None:
    names = [claim(folder, manifest(folder, name=f"{number}.toml")).name for number in range(3)]
    assert names == [machine_name(), f"{machine_name()}-2", f"{machine_name()}-3"]


def test_a_record_for_which_there_is_no_room_leaves_nothing_behind(
    folder: MeshFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = claim(folder, manifest(folder))

    def no_room(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_room)
    with pytest.raises(OSError, match="No space left"):
        write_host(folder, record)
    assert {path.name for path in folder.hosts.iterdir()} == {"turn.lock", f"{record.name}.json"}


def test_a_hosts_name_must_stand_in_a_subject(folder: MeshFolder) -> None:
    with pytest.raises(InvalidName):
        claim(folder, manifest(folder), asked="a.b")


def test_the_record_of_a_host_that_was_killed_stands_in_nobodys_way(folder: MeshFolder) -> None:
    first = claim(folder, manifest(folder))
    dead = subprocess.Popen(["true"])
    dead.wait(30)
    write_host(folder, HostRecord(**{**{f: getattr(first, f) for f in first.__struct_fields__}, "pid": dead.pid}))
    assert live_hosts(folder) == []
    assert claim(folder, manifest(folder)).name == first.name


def test_every_machines_name_can_name_a_host() -> None:
    assert check_name(machine_name()) == machine_name()
    assert next(free_names("a", {"a", "a-2"})) == "a-3"


async def test_ready_checks_fail_until_everything_is_ready_and_health_checks_do_not(host: MakeHost) -> None:
    running = await host(entry("never-ready"), health="127.0.0.1:0")
    assert running.health is not None
    status, detail = await http(running.health.port, "GET /readyz")
    assert (status, "starting" in str(detail)) == (503, True)
    assert (await http(running.health.port, "GET /healthz"))[0] == 200


async def test_ready_checks_succeed_once_everything_is_ready(host: MakeHost) -> None:
    running = await host(health="127.0.0.1:0")
    await running.until_ready()
    assert running.health is not None
    assert (await http(running.health.port, "GET /readyz?x=1"))[0] == 200
    assert await http(running.health.port, "HEAD /readyz") == (200, None)
    assert (await http(running.health.port, "POST /readyz"))[0] == 405
    assert (await http(running.health.port, "GET /x"))[0] == 404


async def test_an_address_for_health_checks_that_cannot_be_had_says_so() -> None:
    with pytest.raises(BadSettings, match=r"127\.0\.0\.1:8080"):
        await Health("nonsense", {}).start()


async def test_a_process_whose_file_changes_is_started_anew_and_no_other(host: MakeHost, tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("one")
    mine = entry(name="mine", labels={"file": str(code)})
    running = await host(mine, entry(name="other"), options=HostOptions(reload=True))
    await running.until_ready()
    keeper, other = running.supervisor.keepers
    before = (keeper.pid, other.pid)
    changed = asyncio.Event()
    running.supervisor.on_change(changed.set)
    code.write_text("two and more")
    async with asyncio.timeout(30):
        while keeper.pid in (0, before[0]) or keeper.state != "ready":
            changed.clear()
            await changed.wait()
    assert other.pid == before[1]


# -- going down, from another process


@pytest.fixture
def spawned(folder: MeshFolder) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Hosts as processes of their own, whose name stands on the first line of their output."""
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from tests.host.test_hosts import run_until_told\n"
        "asyncio.run(run_until_told(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))"
    )
    hosts: list[subprocess.Popen[str]] = []

    def spawn(name: str, do: str = "live") -> subprocess.Popen[str]:
        root = str(Path(__file__).parents[2])
        command = [sys.executable, "-c", code, str(folder.path), name, do]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
        assert process.stdout is not None
        assert process.stdout.readline() == f"{name}\n"
        hosts.append(process)
        return process

    yield spawn
    for process in hosts:
        process.kill()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


async def run_until_told(path: Path, name: str, do: str) -> None:
    folder = MeshFolder(path)
    whole = manifest(folder, entry(do), name=f"{name}.toml", grace=20.0 if do == "stubborn" else 2.0)
    running = Host(whole, claim(folder, whole, name), target=TARGET, folder=folder, spawner=PlainSpawner(STUB))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with running:
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        await stop.wait()


Spawn = Callable[..., subprocess.Popen[str]]


def workers(folder: MeshFolder) -> list[int]:
    return [each.pid for record in live_hosts(folder) for each in record.processes]


@pytest.mark.fault
def test_going_down_drains_every_host_of_the_folder(spawned: Spawn, folder: MeshFolder) -> None:
    first, second = spawned("one"), spawned("two")
    pids = workers(folder)
    assert len(pids) == 2
    assert stop_hosts(folder, timeout=30).hosts == ("one", "two")
    assert (first.wait(30), second.wait(30)) == (0, 0)
    assert [mark_of(pid) for pid in pids] == [None, None]
    assert stop_hosts(folder).hosts == ()


@pytest.mark.fault
def test_going_down_can_be_asked_of_one_host(spawned: Spawn, folder: MeshFolder) -> None:
    spawned("one"), spawned("two")
    assert stop_hosts(folder, ["one"], timeout=30).hosts == ("one",)
    assert [record.name for record in live_hosts(folder)] == ["two"]
    with pytest.raises(Refused, match="no host three runs here; running: two"):
        stop_hosts(folder, ["three"])


@pytest.mark.fault
def test_a_host_that_takes_too_long_is_named_and_force_ends_it_with_its_processes(
    spawned: Spawn, folder: MeshFolder
) -> None:
    spawned("slow", "stubborn")
    pids = workers(folder)
    with pytest.raises(TimedOut, match=r"slow still drains after 0\.3 s.*--force"):
        stop_hosts(folder, timeout=0.3)
    assert stop_hosts(folder, force=True).hosts == ("slow",)
    assert all(each is None or each.wait(30) for each in map(mark_of, pids))


@pytest.mark.fault
def test_no_orphan_stays_when_a_host_is_killed(spawned: Spawn, folder: MeshFolder) -> None:
    process = spawned("one")
    (pid,) = workers(folder)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    mark = mark_of(pid)
    assert mark is None or mark.wait(30)


async def test_a_server_that_cannot_be_revived_for_want_of_room_is_tried_again_and_said_once(
    folder: MeshFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()

    def no_room(_: MeshFolder) -> None:
        loop.call_soon_threadsafe(tried.release)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mesh.host.host.revive_server", no_room)
    monkeypatch.setattr("mesh.host.host._TICK", 0.01)
    whole, screen = manifest(folder), io.StringIO()
    running = Host(
        whole, claim(folder, whole), target=TARGET, folder=folder, options=HostOptions(embedded=True),
        console=Console(screen), spawner=PlainSpawner(STUB),
    )  # fmt: skip
    async with running:
        for _ in range(3):
            await asyncio.wait_for(tried.acquire(), 30)
    assert screen.getvalue().count("cannot be started: [Errno 28] No space left on device") == 1


async def test_the_watchdog_is_told_while_a_server_takes_long_to_come_back(
    folder: MeshFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    there_again, told = threading.Event(), asyncio.Event()
    reviving = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(_: MeshFolder) -> None:
        loop.call_soon_threadsafe(reviving.set)
        there_again.wait(50)

    def notified(state: str) -> bool:
        if state == "WATCHDOG=1" and reviving.is_set():
            told.set()
        return True

    monkeypatch.setattr("mesh.host.host.revive_server", slow)
    monkeypatch.setattr("mesh.host.host.notify", notified)
    monkeypatch.setattr("mesh.host.host._TICK", 0.01)
    whole = manifest(folder)
    options = HostOptions(embedded=True)
    running = Host(
        whole, claim(folder, whole), target=TARGET, folder=folder, options=options, spawner=PlainSpawner(STUB)
    )
    try:
        async with running:
            await asyncio.wait_for(told.wait(), 30)
    finally:
        there_again.set()


@pytest.mark.parametrize(
    ("natural", "held", "next_name"),
    [("node-1", "node-1", "node-1-2"), ("node-1", "node-1-2", "node-1-3"), ("vm", "vm", "vm-2")],
)
def test_a_name_that_another_machine_holds_gives_way_to_none_that_a_third_may_have(
    folder: MeshFolder, natural: str, held: str, next_name: str
) -> None:
    record = claim_name(folder, manifest(folder), asked=held, namespace="default", url=TARGET.url, clock=SystemClock())
    assert claim_another(folder, natural, record).name == next_name
    assert [host.name for host in live_hosts(folder)] == [next_name]
