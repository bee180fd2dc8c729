"""`mesh logs` shows what a line says, whatever its fields are called; and that nobody was asked is not that there is no line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh import Agent, Mesh, command
from mesh.cli.exits import Exit
from mesh.settings.folder import MeshFolder
from mesh.testing.virtual_time import until
from tests.command_line import CommandLine, run_mesh
from tests.servers import RealServer

MISFIT = {
    "time": "2026-11-21T10:11:07.813Z", "event": "flag.misfit", "process": "vm-packer-1", "host": "vm", "level": "warning",
    "flag": "slow-packing", "value": "maybe", "expected": "bool",
}  # fmt: skip


class HostAgent(Agent):
    """What `mesh up` hosts, as far as it is asked here; `ps` takes until `done`."""

    name = "host"

    def __init__(self) -> None:
        self.begun, self.done = asyncio.Event(), asyncio.Event()

    @command(capability="host.logs", effect="pure")
    async def logs(self, job: str, agent: str, correlation: str, event: str, limit: int) -> list[dict[str, Any]]:
        return [MISFIT]

    @command
    async def ps(self) -> None:
        self.begun.set()
        await self.done.wait()


@pytest.fixture
async def draining(server: RealServer) -> AsyncIterator[None]:
    """A host that is going away, and has something left to finish."""
    blue = HostAgent()
    async with Mesh.connect(server.url) as watcher, Mesh.connect(server.url, process="blue-host") as mesh:
        await mesh.host(blue, instance="blue")
        await until(lambda: len(watcher.directory.instances("host")) == 1)
        asked = asyncio.create_task(watcher.ask("host", command="ps", timeout=60.0))
        await blue.begun.wait()
        leaving = asyncio.create_task(mesh.drain(60.0))
        await until(lambda: [each.state for each in watcher.directory.instances("host")] == ["draining"])
        yield
        blue.done.set()
        await asyncio.gather(asked, leaving)


def _written(folder: Path, *lines: dict[str, str]) -> None:
    logs = MeshFolder.of(folder).create().logs
    (logs / "p.log").write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")


def test_a_line_without_a_message_is_shown_with_its_fields(tmp_path: Path) -> None:
    _written(tmp_path, MISFIT, {**MISFIT, "message": "it does not fit"})
    shown = run_mesh("logs", "--event", "flag.misfit", folder=tmp_path)
    assert (shown.returncode, "looking in this folder only" in shown.stderr) == (0, True)
    *_, bare, said = shown.stdout.splitlines()
    assert bare.endswith("flag=slow-packing  value=maybe  expected=bool")
    assert "it does not fit  flag=slow-packing" in said


@pytest.mark.server
async def test_a_mesh_without_a_host_is_said_to_be_one(server: RealServer, cli: CommandLine, tmp_path: Path) -> None:
    _written(tmp_path, MISFIT)
    here = await asyncio.to_thread(run_mesh, "logs", "--event", "all", folder=tmp_path, NATS_URL=server.url)
    assert (here.returncode, "slow-packing" in here.stdout) == (0, True), here.stderr
    assert "there is no host to ask; looking in this folder only" in here.stderr
    code, out, err = await cli("logs", "--event", "all")
    assert (code, out, "there is no host to ask" in err) == (Exit.NO_MESH, "", True), err


@pytest.mark.server
@pytest.mark.usefixtures("draining")
async def test_a_host_that_drains_is_asked_and_named_where_it_does_not_tell(
    server: RealServer, cli: CommandLine
) -> None:
    code, out, err = await cli("logs", "--event", "all")
    assert (code, out, "host blue does not tell: " in err, "no host tells" in err) == (Exit.NO_MESH, "", True, True), (
        err
    )
    async with Mesh.connect(server.url, process="green-host") as mesh:
        await mesh.host(HostAgent(), instance="green")
        code, out, err = await cli("logs", "--event", "all")
    assert (code, "slow-packing" in out, "host blue does not tell: " in err) == (0, True, True), err
