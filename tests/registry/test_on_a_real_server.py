"""The registry on a real nats-server, with real processes that are really killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mesh.clock import SystemClock, SystemIds
from mesh.protocols.errors import MeshError
from mesh.protocols.subjects import Subjects
from mesh.registry.buckets import open_leases, open_records
from mesh.registry.directory import Directory
from mesh.registry.listing import Change
from mesh.settings.target import ServerTarget
from mesh.testing.virtual_time import until
from mesh.transport.connection import Connection, connect
from tests.command_line import MESH_PROCESS, CommandLine
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

CLOCK = SystemClock()
SUBJECTS = Subjects()
MEMBER = Path(__file__).with_name("member_process.py")


class Scene:
    """A server, an observer's directory, and processes to do harm to."""

    def __init__(self, server: RealServer) -> None:
        self.server = server
        self.processes: dict[str, Process] = {}
        self.spawned: list[Process] = []
        self.connections: list[Connection] = []
        self.directories: list[Directory] = []

    async def launch(self, *names: str) -> None:
        await asyncio.gather(*(self._launch(name) for name in names))

    async def _launch(self, name: str) -> None:
        self.processes[name] = await self.spawn(name)
        assert await self.says(name) == "ready"

    async def spawn(self, name: str) -> Process:
        command = (sys.executable, str(MEMBER), self.server.url, name)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        self.spawned.append(process)
        return process

    async def says(self, name: str) -> str:
        output = self.processes[name].stdout
        assert output is not None
        return (await asyncio.wait_for(output.readline(), 40)).decode().strip()

    async def directory(self) -> Directory:
        connection = await connect(ServerTarget(url=self.server.url), name="observer")
        self.connections.append(connection)
        directory = Directory(connection.bus, connection.store, CLOCK, SystemIds(CLOCK), SUBJECTS)
        self.directories.append(directory)
        await directory.start()
        return directory

    def kill(self, name: str) -> float:
        began = time.monotonic()
        os.kill(self.processes[name].pid, signal.SIGKILL)
        return began

    async def last_words(self) -> dict[str, list[str]]:
        """End all processes in the same instant; what each had said since it was asked last."""
        for sign in (signal.SIGSTOP, signal.SIGKILL):
            for process in self.processes.values():
                os.kill(process.pid, sign)
        outputs = {name: (await process.communicate())[0] for name, process in self.processes.items()}
        return {name: out.decode().splitlines() for name, out in outputs.items()}

    async def close(self) -> None:
        for directory in self.directories:
            await directory.stop()
        for connection in self.connections:
            await connection.close()
        for process in self.spawned:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            await process.wait()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    with RealServer(tmp_path) as server:
        scene = Scene(server)
        yield scene
        await scene.close()


def sees(directory: Directory) -> set[str]:
    return {lease.process for lease in directory.processes()}


async def gone(directory: Directory, name: str, within: float) -> float:
    """Wait until `name` is listed no more; the monotonic time at which it was noticed, to the microsecond."""
    noticed: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def look(change: Change) -> None:
        if change.kind == "process-down" and change.process == name and not noticed.done():
            noticed.set_result(time.monotonic())

    forget = directory.on_change(look)
    try:
        return time.monotonic() if not directory.alive(name) else await asyncio.wait_for(noticed, within)
    finally:
        forget()


async def test_a_killed_process_is_gone_from_every_directory_at_once(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    victims = [f"victim-{number}" for number in range(5)]
    await scene.launch(*victims, "witness")
    directories = [await scene.directory() for _ in range(3)]
    took: list[float] = []
    why: set[str] = set()
    for each in directories:
        each.on_change(lambda change: why.add(change.why) if change.kind == "process-down" else None)
    for victim in victims:
        watching = [asyncio.create_task(gone(each, victim, within=30)) for each in directories]
        await asyncio.sleep(0)
        killed = scene.kill(victim)
        took += [moment - killed for moment in await asyncio.gather(*watching)]
    with capsys.disabled():
        print(f"\nkill -9 noticed after {min(took) * 1000:.1f} to {max(took) * 1000:.1f} ms by {len(took)} directories")  # noqa: T201
    assert "its lease ended" not in why, "that takes three seconds"
    assert min(took) < 1.0
    assert all(sees(each) == {"witness"} for each in directories)
    leases = await open_leases(scene.connections[0].store, SUBJECTS)
    await until_async(lambda: leases.get("proc.victim-4"), None)


async def until_async(probe: Callable[[], Awaitable[object]], wanted: object, timeout: float = 40.0) -> None:
    end = time.monotonic() + timeout
    while (found := await probe()) != wanted:
        assert time.monotonic() < end, f"still {found!r}, not {wanted!r}"
        await asyncio.sleep(0.005)


async def answering(directory: Directory) -> set[str]:
    """Who is listed and answers."""
    try:
        return set((await directory.roll_call(timeout=1.0)).answered)
    except MeshError:
        return set()


async def recorded(scene: Scene) -> int:
    """How many records are in the registry bucket; 0 while it is out of reach."""
    try:
        return len(await (await open_records(scene.connections[0].store, SUBJECTS)).all())
    except MeshError:
        return 0


async def test_a_listing_opened_right_after_a_kill_shows_no_corpse(scene: Scene) -> None:
    await scene.launch("witness")
    await scene.directory()
    for _ in range(3):
        await scene.launch("victim")
        scene.kill("victim")
        await asyncio.sleep(0.005)
        fresh = await scene.directory()
        listed = await fresh.verified(timeout=15)
        assert {each.process for each in listed} == {"witness"}
        assert listed[0].figures.queue == 2
        await scene.processes["victim"].wait()


async def test_a_frozen_process_is_gone_within_its_lease_and_back_when_it_thaws(scene: Scene) -> None:
    await scene.launch("victim", "witness")
    directory = await scene.directory()
    frozen = time.monotonic()
    os.kill(scene.processes["victim"].pid, signal.SIGSTOP)
    noticed = await gone(directory, "victim", within=40)
    assert noticed - frozen < 20, "not before the server itself had noticed"
    os.kill(scene.processes["victim"].pid, signal.SIGCONT)
    await until(lambda: bool(directory.lookup("greet")) and sees(directory) == {"victim", "witness"})
    while (said := await scene.says("victim")) == "down: victim":  # it may hear of its own end before its timer runs
        pass
    assert said == "lost: not renewed for 3 s"
    await until(lambda: len(directory.lookup("greet")) == 2)


async def test_a_connection_under_the_victims_name_that_closes_does_it_no_harm(scene: Scene) -> None:
    await scene.launch("victim")
    directory = await scene.directory()
    changes: list[Change] = []
    directory.on_change(changes.append)
    for _ in range(3):
        await (await connect(ServerTarget(url=scene.server.url), name="victim")).close()
    await directory.ping("victim")
    await asyncio.sleep(0.2)  # longer than any advisory takes; nothing can be awaited that must not come
    assert changes == []


async def test_a_lease_purged_by_mistake_is_written_again_at_once(scene: Scene) -> None:
    await scene.launch("victim")
    directory = await scene.directory()
    kinds: list[str] = []
    directory.on_change(lambda change: kinds.append(change.kind))
    await (await open_leases(scene.connections[0].store, SUBJECTS)).delete("proc.victim")
    await until(lambda: kinds == ["instance-down", "process-down", "process-up", "instance-up"])
    assert directory.lookup("greet")


@pytest.mark.parametrize("how", ["crash", "shutdown"])
async def test_when_the_server_restarts_everybody_registers_again_and_nobody_is_deposed(scene: Scene, how: str) -> None:
    names = {"a", "b", "c"}
    await scene.launch(*names)
    directory = await scene.directory()
    await until(lambda: len(directory.lookup("greet")) == 3)
    downs: list[Change] = []
    directory.on_change(lambda change: downs.append(change) if change.kind.endswith("down") else None)
    if how == "shutdown":
        scene.server.stop()
    scene.server.restart()
    await until_async(lambda: recorded(scene), 3)
    await until(lambda: not directory.outage.active)
    await asyncio.sleep(directory.outage.settles_at - time.monotonic() + 1)  # the grace passes, and what it held back
    assert downs == []
    said = {word for words in (await scene.last_words()).values() for word in words}
    assert said <= {"lost: not renewed for 3 s"}, "that much, where the server took so long to come back"


async def test_while_the_server_hangs_nobody_who_is_alive_is_deposed(scene: Scene) -> None:
    await scene.launch("a", "b")
    directory = await scene.directory()
    scene.server.freeze()
    await asyncio.sleep(5)  # longer than a lease: the silence itself is what is tested
    scene.server.thaw()
    await until_async(lambda: answering(directory), {"a", "b"})
    assert await scene.last_words() == {name: ["lost: not renewed for 3 s"] for name in ("a", "b")}


async def test_the_second_process_of_a_name_is_refused_and_the_first_unharmed(scene: Scene) -> None:
    await scene.launch("one")
    directory = await scene.directory()
    changes: list[Change] = []
    directory.on_change(changes.append)
    second = await scene.spawn("one")
    out, _ = await asyncio.wait_for(second.communicate(), 40)
    assert "already in use by pid" in out.decode()
    assert "--host-name" in out.decode()
    assert changes == []


async def test_a_killed_process_started_again_has_its_name_back_at_once(scene: Scene) -> None:
    await scene.launch("one")
    directory = await scene.directory()
    scene.kill("one")
    await scene.processes["one"].wait()
    await scene.launch("one")
    present = scene.processes["one"].pid
    await until(lambda: bool(directory.lookup("greet")) and directory.processes()[0].pid == present)


async def mesh(scene: Scene, *arguments: str) -> tuple[int, str, str]:
    """`mesh registry …` as a person would run it: exit code, stdout, stderr."""
    return await CommandLine(scene.server.url)("registry", *arguments)


async def test_the_command_line_shows_who_is_there(scene: Scene) -> None:
    await scene.launch("one", "two")

    async def listed() -> list[tuple[object, ...]]:
        code, out, _ = await mesh(scene, "ls", "-o", "json", "--capability", "greet", "--label", "tier=gold")
        assert code == 0
        return [tuple(each[name] for name in ("process", "state", "load", "latency_ms")) for each in json.loads(out)]

    await until_async(
        listed, [("one", "ready", 0.5, 125.0), ("two", "ready", 0.5, 125.0)]
    )  # suspect: it answered too late
    code, out, _ = await mesh(scene, "ls", "--state", "draining", "-o", "json")
    assert (code, json.loads(out)) == (0, [])
    code, out, _ = await mesh(scene, "ls")
    assert code == 0
    assert "greeter" in out
    assert "PROCESS" in out


async def test_the_command_line_shows_one_and_its_schema_and_draws_all(scene: Scene) -> None:
    await scene.launch("one")
    code, out, _ = await mesh(scene, "show", "one")
    assert (code, "incarnation" in out, "tier=gold" in out) == (0, True, True)
    code, out, _ = await mesh(scene, "show", "one", "-o", "json")
    (shown,) = json.loads(out)
    assert (code, shown["declares"][0]["name"], shown["connection"]["client_id"] > 0) == (0, "greet", True)
    code, out, _ = await mesh(scene, "schema", "greet")
    assert (code, json.loads(out)[0]["input"]["properties"]) == (0, {"name": {"type": "string"}})
    code, out, _ = await mesh(scene, "graph")
    assert (code, out.startswith("flowchart LR\n")) == (0, True)
    code, _, err = await mesh(scene, "show", "nobody")
    assert (code, "agents here: greeter" in err) == (2, True)
    code, _, err = await mesh(scene, "schema", "nothing")
    assert (code, "capabilities here: greet" in err) == (2, True)
    code, _, err = await mesh(scene, "ls", "--label", "nonsense")
    assert (code, "NAME=VALUE" in err) == (2, True)


async def test_the_command_line_pings_and_says_who_is_silent(scene: Scene) -> None:
    await scene.launch("one", "two")

    async def pinged(*names: str) -> tuple[int, list[tuple[str, str]]]:
        code, out, _ = await mesh(scene, "ping", *names, "-o", "json")
        return code, [(each["process"], each["answer"]) for each in json.loads(out)]

    await until_async(pinged, (0, [("one", "alive"), ("two", "alive")]))
    os.kill(scene.processes["two"].pid, signal.SIGSTOP)
    await until_async(pinged, (1, [("one", "alive"), ("two", "silent")]))
    await until_async(lambda: pinged("one"), (0, [("one", "alive")]))


async def test_the_command_line_watches_one_object_a_line(scene: Scene) -> None:
    await scene.launch("one")
    watching = await asyncio.create_subprocess_exec(
        *MESH_PROCESS, "registry", "watch", "-o", "json", "--timeout", "40", "--server", scene.server.url, stdout=-1
    )
    assert watching.stdout is not None
    try:
        there = [await watching.stdout.readline() for _ in range(2)]
        scene.kill("one")
        gone = [await watching.stdout.readline() for _ in range(2)]
    finally:
        watching.kill()
        await watching.communicate()
    assert [json.loads(line)["kind"] for line in (*there, *gone)] == [
        "process-up",
        "instance-up",
        "instance-down",
        "process-down",
    ]
    assert (await mesh(scene, "watch", "--timeout", "0.2"))[0] == 0


async def test_no_server_is_exit_code_3(scene: Scene) -> None:
    scene.server.stop()
    code, out, err = await mesh(scene, "ls", "--timeout", "1")
    assert (code, out) == (3, "")
    assert "error:" in err
