"""What lies in deploy/ is true as far as this machine can tell: the server takes its configuration, systemd its units."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.host.notify import notify
from mesh.protocols.errors import Unavailable
from mesh.protocols.ports import Message, StreamSpec
from mesh.server.binary import find_binary
from mesh.server.greeting import NotNats, greet
from mesh.server.waiting import wait_until
from mesh.settings.target import ServerTarget
from mesh.transport.connection import connect
from tests.command_line import MESH_PROCESS
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SECRETS = {"NATS_SYS_PASSWORD": "systempass", "NATS_MESH_PASSWORD": "meshpass", "NATS_SUBMIT_PASSWORD": "submitpass"}


def configuration(folder: Path, port: int, *, tls: bool = False) -> Path:
    """The production configuration, with this machine's paths and ports."""
    text = (DEPLOY / "nats-server.conf").read_text()
    for was, now in {"/var/lib/nats": f"{folder}/store", "port: 4222": f"port: {port}", "0.0.0.0": "127.0.0.1"}.items():
        assert was in text
        text = text.replace(was, now)
    text = text.replace("127.0.0.1:8222", f"127.0.0.1:{free_port()}").replace("100GB", "1GB")
    if tls:
        text = re.sub(r"(?m)^# ((?:tls \{|  \w+: .*|\})$)", r"\1", text).replace("/etc/nats/tls", str(folder))
        assert "\ntls {" in text
    path = folder / "nats-server.conf"
    path.write_text(text)
    return path


def check(path: Path, secrets: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [find_binary(), "-t", "-c", path]
    return subprocess.run(command, env=os.environ | secrets, capture_output=True, text=True, check=False, timeout=20)


def test_the_server_takes_the_configuration(tmp_path: Path) -> None:
    checked = check(configuration(tmp_path, 4222), SECRETS)
    assert checked.returncode == 0, checked.stderr


def test_a_bcrypt_hash_may_stand_for_a_password(tmp_path: Path) -> None:
    hashed = SECRETS | {"NATS_MESH_PASSWORD": "$2a$11$V1qrpBt8/SLfEBr4NJq4T.2mg8chx8.MTblUiTBOLV3MKDeAy.f7u"}
    assert check(configuration(tmp_path, 4222), hashed).returncode == 0


def test_a_missing_password_is_refused_and_never_means_none(tmp_path: Path) -> None:
    checked = check(configuration(tmp_path, 4222), {"NATS_SYS_PASSWORD": "x1"})
    assert checked.returncode != 0
    assert "NATS_MESH_PASSWORD" in checked.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_the_tls_block_is_valid_once_it_is_uncommented(tmp_path: Path) -> None:
    subject = ["-subj", "/CN=localhost", "-days", "1", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    files = ["-keyout", tmp_path / "server.key", "-out", tmp_path / "server.pem"]
    subprocess.run(["openssl", "req", "-x509", *subject, *files], check=True, capture_output=True, timeout=20)
    shutil.copy(tmp_path / "server.pem", tmp_path / "ca.pem")
    checked = check(configuration(tmp_path, 4222, tls=True), SECRETS)
    assert checked.returncode == 0, checked.stderr


@pytest.fixture
def production(tmp_path: Path) -> Iterator[int]:
    """The production configuration, running; its port."""
    port = free_port()
    path = configuration(tmp_path, port)
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([find_binary(), "-c", path], env=os.environ | SECRETS, stdout=log, stderr=log)
    try:
        assert wait_until(lambda: greets(port), 40), (tmp_path / "log").read_text()
        yield port
    finally:
        server.send_signal(signal.SIGUSR2)
        assert server.wait(50) == 0


def greets(port: int) -> bool:
    try:
        return greet("127.0.0.1", port, 1.0).auth_required
    except (OSError, NotNats):
        return False


def as_user(port: int, user: str, inbox_prefix: str | None = None) -> ServerTarget:
    password = SECRETS[f"NATS_{user.upper()}_PASSWORD"]
    return ServerTarget(url=f"nats://127.0.0.1:{port}", user=user, password=password, inbox_prefix=inbox_prefix)


@pytest.mark.server
async def test_nobody_gets_in_without_a_password(production: int) -> None:
    with pytest.raises(Unavailable):
        await connect(ServerTarget(url=f"nats://127.0.0.1:{production}"), timeout=2.0)


@pytest.mark.server
async def test_hosts_have_jetstream_and_hear_of_disconnects(production: int) -> None:
    ended = asyncio.Event()
    async with await connect(as_user(production, "mesh")) as host:
        await host.store.ensure_stream(StreamSpec(name="mesh_x_IN", subjects=("mesh.x.in.>",)))
        await host.bus.subscribe("$SYS.ACCOUNT.*.DISCONNECT", lambda _: ended.set())
        await (await connect(as_user(production, "mesh"))).close()
        async with asyncio.timeout(30):
            await ended.wait()


@pytest.mark.server
async def test_submitters_can_submit_and_nothing_else(production: int) -> None:
    heard: list[str] = []
    both = asyncio.Event()

    def listen(message: Message) -> None:
        heard.append(message.subject)
        if message.subject.endswith("code-review"):
            both.set()

    async with (
        await connect(as_user(production, "mesh")) as host,
        await connect(as_user(production, "submit", "_SUBMIT.me")) as submitter,
    ):
        await host.bus.subscribe("mesh.>", listen)
        submitter.bus.publish("mesh.default.rpc.a.b.c.d", b"forged")
        submitter.bus.publish("mesh.default.in.default.code-review", b"{}")
        async with asyncio.timeout(30):
            await both.wait()
    assert heard == ["mesh.default.in.default.code-review"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", ["nats-server.service", "mesh-host.service"])
def test_systemd_takes_the_units(unit: str, tmp_path: Path) -> None:
    text = (DEPLOY / unit).read_text()
    for program in ("/opt/mesh/bin/mesh", "/usr/local/bin/nats-server"):
        text = text.replace(program, "/bin/true")
    (tmp_path / unit).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    mine = [line for line in verified.stderr.splitlines() if unit in line]
    assert (verified.returncode, mine) == (0, [])


@pytest.mark.parametrize("unit", ["nats-server.service", "mesh-host.service"])
def test_a_unit_that_fails_again_and_again_is_never_left_down(unit: str) -> None:
    """By default systemd gives up after five starts in ten seconds, whatever `Restart` says."""
    section = (DEPLOY / unit).read_text().partition("[Service]")[0]
    assert "\nStartLimitIntervalSec=0\n" in section


def test_the_units_run_what_exists() -> None:
    host = (DEPLOY / "mesh-host.service").read_text()
    arguments = re.findall(r"(?m)^ExecStart=\S+/mesh (.*)$", host)
    assert arguments == ["up /etc/mesh/mesh.toml --health 127.0.0.1:8080"]
    assert "nats-server.conf" in (DEPLOY / "nats-server.service").read_text()


def test_the_container_copies_only_what_there_is_and_everything_the_wheel_needs() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    copied = [name for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", text) for name in line.split()[:-1]]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    links = {link.name for link in (ROOT / "mesh").iterdir() if link.is_symlink()}
    assert links <= set(copied)
    assert "mesh" in copied


def test_the_containers_command_is_one_that_the_command_line_takes() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    command = re.findall(r'"([^"]+)"', re.findall(r"(?m)^CMD (.*)$", text)[-1])
    ran = subprocess.run(
        [*MESH_PROCESS, command[0], "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ran.returncode == 0
    assert [option for option in command if option.startswith("--") and option not in ran.stdout] == []


def test_systemd_is_told_when_the_host_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert notify("READY=1")
        assert listener.recv(100) == b"READY=1"
    assert not notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not notify("READY=1")
