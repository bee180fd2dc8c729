"""`mesh up` and its kin as a person uses them: the real command line, real workers, a real server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mesh.client.mesh import Mesh
from mesh.host.host_record import HostRecord, live_hosts
from mesh.host.stopping import stop_hosts
from mesh.server.embedded import server_status
from mesh.server.ports import remember
from mesh.server.process_mark import mark_of
from mesh.server.temporary import TemporaryServer
from mesh.server.waiting import wait_until
from mesh.settings.folder import MeshFolder
from mesh.testing.virtual_time import until
from tests.command_line import MESH_PROCESS, run_mesh
from tests.servers import free_port

pytestmark = [pytest.mark.server, pytest.mark.fault]

ECHO = """
import os, time
from mesh import Agent, Context, command

class Echo(Agent):
    \"\"\"Says what it hears.\"\"\"

    @command(capability="echo.say", effect="pure")
    async def say(self, text: str, ctx: Context) -> str:
        return f"WORD {text}"

    @command(effect="pure")
    async def about(self) -> dict[str, str]:
        return {name: os.environ.get(name, "") for name in ("MESH_PROCESS", "MESH_REPOSITORIES", "COLOUR")}

    @command(effect="pure")
    async def block(self) -> None:
        time.sleep(600)
"""
MANIFEST = """
[host]
grace = 5.0
[[agents]]
use = "echo.py"
instances = 2
environment = { COLOUR = "blue" }
"""

MeshCommand = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[TemporaryServer]:
    with TemporaryServer() as running:
        yield running


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """A folder with an agent and its manifest."""
    return make_team(tmp_path / "team")


def make_team(folder: Path, manifest: str = MANIFEST, code: str = ECHO) -> Path:
    folder.mkdir()
    (folder / "mesh.toml").write_text(manifest)
    (folder / "echo.py").write_text(code.replace("WORD", "heard"))
    return folder


@pytest.fixture
def mesh(server: TemporaryServer, team: Path, request: pytest.FixtureRequest) -> Iterator[MeshCommand]:
    """The command line in the team's folder, in a namespace of this test; whatever it started is gone at the end."""
    namespace = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-60:].strip("-")
    folders = {team}

    def run(*arguments: str, cwd: Path = team, **environment: str) -> subprocess.CompletedProcess[str]:
        folders.add(cwd)
        if arguments[0] == "up" and "--namespace" not in arguments:
            arguments += ("--namespace", namespace)
        return run_mesh(*arguments, folder=cwd, **{"NATS_URL": server.url, **environment})

    run.namespace = namespace  # type: ignore[attr-defined]
    with ExitStack() as stack:
        yield run
        for folder in folders:
            stack.callback(stop_hosts, MeshFolder.of(folder), force=True)


def up(mesh: MeshCommand, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    ran = mesh("up", "--detach", *arguments, **more)
    assert ran.returncode == 0, ran.stderr
    return ran


def host_in(folder: Path) -> HostRecord:
    (record,) = live_hosts(MeshFolder.of(folder))
    return record


def workers(folder: Path) -> list[int]:
    return [process.pid for process in host_in(folder).processes]


async def ask(server: TemporaryServer, mesh: MeshCommand, target: str, **more: Any) -> Any:
    async with Mesh.connect(server.target, namespace=mesh.namespace) as client:  # type: ignore[attr-defined]
        return await client.ask(target, **more)


async def until_there(client: Mesh, pid: int) -> None:
    """Until the client knows of the agent in this process, too."""
    await until(lambda: any(each.record.pid == pid for each in client.directory.instances("echo")))


async def until_listed(client: Mesh, agent: str) -> None:
    changed = asyncio.Event()
    client.directory.on_change(lambda _: changed.set())
    async with asyncio.timeout(40):
        while agent not in client.directory.agents():
            changed.clear()
            await changed.wait()


async def test_a_detached_host_is_ready_answers_and_goes_without_a_trace(
    mesh: MeshCommand, team: Path, server: TemporaryServer
) -> None:
    up(mesh)
    assert await ask(server, mesh, "echo", command="say", text="hi") == "heard hi"
    listed = json.loads(mesh("ps", "-o", "json").stdout)
    assert [process["state"] for process in listed[0]["processes"]] == ["ready", "ready"]
    pids = [host_in(team).pid, *workers(team)]
    down = mesh("down")
    assert down.returncode == 0, down.stderr
    assert [mark_of(pid) for pid in pids] == [None] * 3
    assert list((team / ".mesh" / "hosts").glob("*.json")) == []


async def test_workers_get_their_environment_and_stable_names(
    mesh: MeshCommand, team: Path, server: TemporaryServer
) -> None:
    up(mesh, "--host-name", "blue")
    told = await ask(server, mesh, "echo.2", command="about")
    assert told == {"MESH_PROCESS": "blue-echo-2", "MESH_REPOSITORIES": str(team), "COLOUR": "blue"}


async def test_a_killed_worker_is_off_the_list_at_once_and_soon_back(
    mesh: MeshCommand, team: Path, server: TemporaryServer
) -> None:
    up(mesh, "--host-name", "blue")
    before = workers(team)
    async with Mesh.connect(server.target, namespace=mesh.namespace) as client:  # type: ignore[attr-defined]
        os.kill(before[0], signal.SIGKILL)
        assert await asyncio.to_thread(wait_until, lambda: workers(team)[0] not in (0, before[0]), 40)
        assert await asyncio.to_thread(wait_until, lambda: host_in(team).state == "ready", 40)
        assert workers(team)[1] == before[1]
        await until_there(client, workers(team)[0])
        assert await client.ask("echo.1", command="say", text="again") == "heard again"


async def test_a_worker_whose_event_loop_hangs_is_restarted_and_its_log_says_where_it_hung(
    mesh: MeshCommand, team: Path, server: TemporaryServer
) -> None:
    (team / "mesh.toml").write_text(MANIFEST.replace("[host]", "[host]\nhung_after = 2.0"))
    up(mesh, "--host-name", "blue")
    async with Mesh.connect(server.target, namespace=mesh.namespace) as client:  # type: ignore[attr-defined]
        log = ""
        while not re.search(
            r'File ".*echo\.py", line \d+ in block', log
        ):  # who is too slow to say so is killed all the same
            assert await asyncio.to_thread(wait_until, lambda: host_in(team).state == "ready", 40)
            before = workers(team)
            await client.tell("echo.1", command="block")
            assert await asyncio.to_thread(wait_until, lambda was=before: workers(team)[0] not in (0, *was), 40)
            log = (team / ".mesh" / "logs" / "blue-echo-1.log").read_text()
        assert "no heartbeat for" in log


def test_a_host_that_cannot_get_ready_says_why_and_leaves_nothing(mesh: MeshCommand, team: Path) -> None:
    (team / "echo.py").write_text("import nowhere_to_be_found\n")
    ran = mesh("up", "--detach")
    assert ran.returncode == 1
    assert "needs the module 'nowhere_to_be_found'" in ran.stderr
    assert live_hosts(MeshFolder.of(team)) == []


def test_a_broken_manifest_is_bad_input(mesh: MeshCommand, team: Path) -> None:
    (team / "mesh.toml").write_text("[[agents]]\nuze = 1")
    ran = mesh("up")
    assert (ran.returncode, "did you mean 'use'?" in ran.stderr) == (2, True)
    assert "Traceback" not in ran.stderr


def test_a_server_that_is_configured_but_away_is_no_mesh(mesh: MeshCommand) -> None:
    ran = mesh("up", NATS_URL="nats://127.0.0.1:1")
    assert (ran.returncode, "NATS_URL names" in ran.stderr) == (3, True)


async def test_a_worker_that_ends_while_the_server_is_away_is_back_with_it(mesh: MeshCommand, team: Path) -> None:
    """Nobody is given up for an outage, however few crashes are allowed."""
    (team / "mesh.toml").write_text(MANIFEST.replace("[host]", "[host]\nrestarts = { crashes = 1 }"))
    async with TemporaryServer() as server:
        up(mesh, "--host-name", "blue", NATS_URL=server.url)
        before, log = workers(team), team / ".mesh/logs/blue-echo-1.log"
        server.kill()
        os.kill(before[0], signal.SIGKILL)
        assert await asyncio.to_thread(wait_until, lambda: "no NATS server answers" in log.read_text(), 40)
        server.start()
        assert await asyncio.to_thread(wait_until, lambda: host_in(team).state == "ready", 40)
        assert "GIVEN UP" not in log.read_text()
        assert workers(team)[1] == before[1]
        assert await ask(server, mesh, "echo.1", command="say", text="again") == "heard again"
        assert mesh("down").returncode == 0


def test_the_same_manifest_twice_is_refused_unless_a_name_is_given(mesh: MeshCommand, team: Path) -> None:
    up(mesh)
    again = mesh("up", "--detach")
    assert (again.returncode, "--host-name" in again.stderr) == (5, True)
    up(mesh, "--host-name", "second")
    assert len(live_hosts(MeshFolder.of(team))) == 2


def test_a_host_of_another_folder_takes_another_name_in_the_same_mesh(mesh: MeshCommand, team: Path) -> None:
    other = make_team(team.parent / "other")
    up(mesh)
    up(mesh, cwd=other)
    assert host_in(other).name == f"{host_in(team).name}-2"
    named = mesh("up", "--detach", "--host-name", host_in(team).name, cwd=make_team(team.parent / "third"))
    assert (named.returncode, "already in use" in named.stderr) == (5, True)


CRASHES = """
from mesh import Agent, command
from mesh.actors.running.supervision import Poisoned, RestartPolicy
import os

class Echo(Agent):
    restarts = RestartPolicy(limit=0)

    @command(effect="pure")
    async def pid(self) -> int:
        return os.getpid()

    @command
    async def spoil(self) -> None:
        raise Poisoned("my state is no good")
"""


async def test_a_process_whose_agent_was_given_up_is_started_anew(
    mesh: MeshCommand, team: Path, server: TemporaryServer
) -> None:
    (team / "echo.py").write_text(CRASHES)
    up(mesh, "--host-name", "blue")
    before = workers(team)
    async with Mesh.connect(server.target, namespace=mesh.namespace) as client:  # type: ignore[attr-defined]
        await client.tell("echo.1", command="spoil")
        assert await asyncio.to_thread(wait_until, lambda: workers(team)[0] not in (0, before[0]), 40)
        assert await asyncio.to_thread(wait_until, lambda: host_in(team).state == "ready", 40)
        await until_there(client, workers(team)[0])
        assert await client.ask("echo.1", command="pid") == workers(team)[0]
    assert "crashed too often, the last time of Poisoned" in (team / ".mesh/logs/blue-echo-1.log").read_text()


async def test_a_host_answers_for_itself_in_the_mesh(mesh: MeshCommand, team: Path, server: TemporaryServer) -> None:
    up(mesh, "--host-name", "blue")
    async with Mesh.connect(server.target, namespace=mesh.namespace) as client:  # type: ignore[attr-defined]
        await client.ask("echo", command="say", text="hi")
        record = await client.ask("host.blue", command="ps")
        assert [process["process"] for process in record["processes"]] == ["blue-echo-1", "blue-echo-2"]
        assert await asyncio.to_thread(wait_until, lambda: '"agent.call"' in logs_of(team), 30)
        (line,) = await client.ask("host.blue", command="logs", agent="echo")
        assert (line["command"], line["exit_status"]) == ("say", "success")
        assert await client.ask("host.blue", command="logs", correlation="other") == []
        pid = host_in(team).pid
        await client.ask("host.blue", command="drain")
    mark = mark_of(pid)
    assert mark is None or mark.wait(40)
    assert live_hosts(MeshFolder.of(team)) == []


def logs_of(team: Path) -> str:
    return "".join(path.read_text() for path in (team / ".mesh" / "logs").glob("*echo*.log"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_host_in_the_foreground_drains_on_a_signal_and_ends_with_zero(
    number: signal.Signals, team: Path, server: TemporaryServer, mesh: MeshCommand
) -> None:
    command = [*MESH_PROCESS, "up", "--namespace", f"sig{number}"]
    env = {**os.environ, "NATS_URL": server.url}
    host = subprocess.Popen(command, cwd=team, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert host.stderr is not None
    with host.stderr:
        for line in host.stderr:
            if "is ready; Ctrl-C" in line:
                break
        pids = workers(team)
        host.send_signal(number)
        said = host.stderr.read()
    assert host.wait(60) == 0, said
    assert [mark_of(pid) for pid in pids] == [None, None]


NEVER_READY = """
import asyncio
from mesh import Agent, Context, command

class Echo(Agent):
    async def on_start(self, ctx: Context) -> None:
        print("waits for ever", flush=True)
        await asyncio.Event().wait()

    @command(effect="pure")
    async def say(self, text: str) -> str:
        return text
"""


def test_a_worker_that_is_told_to_go_while_it_starts_goes_at_once(
    team: Path, server: TemporaryServer, mesh: MeshCommand
) -> None:
    (team / "echo.py").write_text(NEVER_READY)
    (team / "mesh.toml").write_text('[host]\ngrace = 100.0\n[[agents]]\nuse = "echo.py"\n')
    env = {**os.environ, "NATS_URL": server.url}
    command = [*MESH_PROCESS, "up", "--namespace", "starting"]
    host = subprocess.Popen(command, cwd=team, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert host.stderr is not None
    with host.stderr:
        assert any("waits for ever" in line for line in host.stderr)
        host.send_signal(signal.SIGTERM)
        said = host.stderr.read()
    assert (host.wait(60), "was killed" in said) == (0, False), said


async def test_without_a_configured_server_the_embedded_one_is_started_kept_alive_and_stopped_at_the_end(
    mesh: MeshCommand, team: Path
) -> None:
    folder = MeshFolder.of(team).create()
    remember(folder.server / "port", free_port())
    up(mesh, "--namespace", "default", NATS_URL="")
    before = server_status(folder)
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    assert await asyncio.to_thread(wait_until, lambda: _another(folder, before.pid), 40)
    async with Mesh.connect(before.url) as client:
        await until_listed(client, "echo")
        assert await client.ask("echo", command="say", text="back", timeout=40) == "heard back"
    assert mesh("down", NATS_URL="").returncode == 0
    assert server_status(folder) is None
    assert not folder.server_file.exists()


def _another(folder: MeshFolder, pid: int) -> bool:
    status = server_status(folder)
    return status is not None and status.pid != pid


async def test_changed_code_is_loaded_anew_with_reload(mesh: MeshCommand, team: Path, server: TemporaryServer) -> None:
    up(mesh, "--reload", "--host-name", "blue")
    before = workers(team)
    (team / "echo.py").write_text(ECHO.replace("WORD", "newly heard"))
    assert await asyncio.to_thread(
        wait_until, lambda: not set(workers(team)) & {0, *before} and host_in(team).state == "ready", 40
    )
    assert await ask(server, mesh, "echo", command="say", text="hi") == "newly heard hi"


async def test_a_host_that_is_killed_leaves_no_orphan_and_can_be_started_again_at_once(
    mesh: MeshCommand, team: Path, server: TemporaryServer
) -> None:
    up(mesh, "--host-name", "blue")
    host, before = host_in(team), workers(team)
    os.kill(host.pid, signal.SIGKILL)
    host.mark.wait(40)
    up(mesh, "--host-name", "blue")
    assert not set(before) & set(workers(team))
    assert [mark is None or mark.wait(40) for mark in map(mark_of, before)] == [True, True]
    assert await ask(server, mesh, "echo.1", command="say", text="hi") == "heard hi"
