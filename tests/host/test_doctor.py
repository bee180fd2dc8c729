"""`mesh doctor` and `mesh server`: what they find, what they print, how they end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.server.embedded import stop_server
from mesh.server.ports import remember
from mesh.server.temporary import TemporaryServer
from mesh.settings.folder import MeshFolder
from tests.command_line import run_mesh
from tests.servers import free_port

pytestmark = pytest.mark.server

MeshCommand = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MeshCommand]:
    monkeypatch.setattr("mesh.cli.doctor_server._TIMEOUT", 30.0)
    folder = MeshFolder.of(tmp_path).create()
    remember(folder.server / "port", free_port())

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_mesh(*arguments, folder=tmp_path, **environment)

    yield run
    stop_server(folder)


def findings(ran: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    return {each["check"]: each for each in json.loads(ran.stdout)}


def states(ran: subprocess.CompletedProcess[str], *checks: str) -> list[str]:
    return [findings(ran)[check]["state"] for check in checks]


SERVER = ("reachable", "server version", "login", "jetstream", "crash advisories", "sync_interval")


def test_the_servers_status_is_stable_json(mesh: MeshCommand, tmp_path: Path) -> None:
    assert mesh("server", "status", "-o", "json").returncode == 3
    started = mesh("server", "start", "-o", "json")
    status: dict[str, Any] = json.loads(mesh("server", "status", "-o", "json").stdout)
    assert status == json.loads(started.stdout)
    assert list(status) == ["url", "pid", "version", "store_dir"]
    assert status["store_dir"] == str(tmp_path / ".mesh" / "store")
    assert mesh("server", "stop").returncode == 0
    assert mesh("server", "status").returncode == 3
    assert mesh("server", "stop").returncode == 0


def test_everything_is_fine_with_the_embedded_server(mesh: MeshCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.cli.doctor_server._ADVISORY_WITHIN", 30.0)
    mesh("server", "start")
    ran = mesh("doctor", "-o", "json")
    assert ran.returncode == 0, ran.stdout
    assert states(ran, *SERVER) == ["ok"] * 6


def test_a_folder_without_a_server_is_no_failure_but_told(mesh: MeshCommand) -> None:
    ran = mesh("doctor", "-o", "json")
    assert (ran.returncode, states(ran, "server", "hosts", "manifest")) == (0, ["warn", "warn", "warn"])
    assert "mesh up" in findings(ran)["server"]["do"]


def test_a_server_that_is_away_is_to_be_mended(mesh: MeshCommand) -> None:
    ran = mesh("doctor", "-o", "json", "--server", "127.0.0.1:1")
    assert (ran.returncode, states(ran, "reachable")) == (1, ["fail"])


def test_a_server_whose_durability_cannot_be_seen_is_told(mesh: MeshCommand) -> None:
    with TemporaryServer() as server:
        ran = mesh("doctor", "-o", "json", NATS_URL=server.url)
    assert (ran.returncode, states(ran, "login", "sync_interval")) == (0, ["ok", "warn"])


def test_the_manifests_server_counts_and_its_mistakes_are_found(mesh: MeshCommand, tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_text('[mesh]\nserver = "127.0.0.1:1"\n[[agents]]\nuse = "a:B"\ninstances = 0\n')
    ran = mesh("doctor", "-o", "json")
    assert states(ran, "manifest", "reachable") == ["fail", "fail"]
    assert findings(ran)["server"]["found"] == "nats://127.0.0.1:1 (mesh.toml)"


def test_a_context_that_does_not_exist_is_to_be_mended(mesh: MeshCommand) -> None:
    ran = mesh("doctor", "-o", "json", "--context", "nowhere")
    assert (ran.returncode, states(ran, "server")) == (1, ["fail"])


def test_a_plain_server_without_jetstream_or_advisories_is_seen_through(mesh: MeshCommand, tmp_path: Path) -> None:
    from mesh.server.binary import find_binary
    from mesh.server.ports import is_free
    from mesh.server.waiting import wait_until

    port = free_port()
    server = subprocess.Popen([find_binary(), "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: not is_free(port), 30)
        ran = mesh("doctor", "-o", "json", "--server", f"127.0.0.1:{port}")
    finally:
        server.kill()
        server.wait(30)
    assert (ran.returncode, states(ran, "login", "jetstream", "crash advisories")) == (1, ["ok", "fail", "warn"])
    assert "deploy/nats-server.conf" in findings(ran)["jetstream"]["do"]
