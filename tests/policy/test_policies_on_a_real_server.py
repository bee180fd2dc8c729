"""Real processes on a real server: a kill is in force in all of them within a second, and a limit holds over all of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from mesh import Mesh
from mesh.actors.deciding import Deciding
from mesh.protocols.errors import Killed, MeshError, RateLimited
from mesh.protocols.policies import RateLimit, Switch
from mesh.testing.virtual_time import until
from tests.policy.limited import worst
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]
MEMBER = Path(__file__).with_name("limited_process.py")


@pytest.fixture
async def processes() -> AsyncIterator[dict[str, Process]]:
    found: dict[str, Process] = {}
    yield found
    for process in found.values():
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()


async def launch(server: RealServer, processes: dict[str, Process], *names: str) -> None:
    for name in names:
        processes[name] = await asyncio.create_subprocess_exec(
            sys.executable, str(MEMBER), server.url, name, stdout=asyncio.subprocess.PIPE
        )
    for name in names:
        output = processes[name].stdout
        assert output is not None
        assert await asyncio.wait_for(output.readline(), 40) == b"ready\n"


async def test_a_kill_is_in_force_within_a_second_a_limit_holds_and_both_survive_the_server(
    tmp_path: Path, processes: dict[str, Process]
) -> None:
    with RealServer(tmp_path) as server:
        await launch(server, processes, "one", "two", "three")
        async with Mesh.connect(server.url, process="operator") as mesh:
            await until(lambda: len(mesh.directory.lookup("text.write")) == 3)
            deciding = Deciding(mesh.peer, "ada@desk", within=40)
            await _a_limit_holds(mesh, deciding, processes)
            await _a_kill_is_proven(mesh, deciding, processes)
            await _it_survives_the_server(mesh, server, deciding)


async def _a_limit_holds(mesh: Mesh, deciding: Deciding, processes: dict[str, Process]) -> None:
    limit = RateLimit(agent="writer", calls=3000, burst=60)
    decided = await deciding.decide(limit.key, limit)
    assert decided.in_force == ("one", "three", "two")
    uses: list[tuple[float, float]] = []

    async def caller(name: str, end: float) -> None:
        while mesh.peer.clock.monotonic() < end or len(uses) < 60:
            try:
                uses.append((await mesh.ask(f"writer.{name}", command="write", timeout=40), 1.0))
            except RateLimited as error:
                await asyncio.sleep(error.retry_after or 0.0)
            except MeshError:
                await asyncio.sleep(0.05)

    began = mesh.peer.clock.monotonic()
    names = [name for name in processes for _ in range(4)]
    work = [asyncio.create_task(caller(name, began + 2.5)) for name in names]
    await asyncio.sleep(1.5)
    os.kill(processes["three"].pid, signal.SIGKILL)
    await processes["three"].wait()
    await asyncio.gather(*work)
    assert worst(uses, 50.0) <= 60.0
    assert len(uses) >= 60
    await deciding.lift(limit.key)


async def _a_kill_is_proven(mesh: Mesh, deciding: Deciding, processes: dict[str, Process]) -> None:
    await until(lambda: len(mesh.directory.processes()) == 2)
    running = [asyncio.create_task(mesh.ask(f"writer.{name}", command="think", timeout=60)) for name in ("one", "two")]
    await asyncio.sleep(0.1)
    switch = Switch(what="agent", name="writer", reason="it will not stop thinking", now=True)
    decided = await deciding.decide(switch.key, switch)
    assert (decided.in_force, decided.silent) == (("one", "two"), ())
    for error in await asyncio.gather(*running, return_exceptions=True):
        assert isinstance(error, Killed)
    with pytest.raises(Killed):
        await mesh.ask("writer", command="write")
    os.kill(processes["two"].pid, signal.SIGSTOP)
    try:
        await until(lambda: psutil.Process(processes["two"].pid).status() == psutil.STATUS_STOPPED)
        other = Switch(what="tool", name="search")
        assert "two" in (await Deciding(mesh.peer, "ada@desk", within=0.5).decide(other.key, other)).silent
    finally:
        os.kill(processes["two"].pid, signal.SIGCONT)


async def _it_survives_the_server(mesh: Mesh, server: RealServer, deciding: Deciding) -> None:
    server.kill()
    await until(lambda: not mesh.connected, timeout=40)
    assert mesh.peer.policy.killed(agent="writer") is not None
    server.restart()
    await until(lambda: mesh.connected, timeout=40)
    lifted = await deciding.lift(Switch(what="agent", name="writer").key)
    assert "one" in lifted.in_force
    await until(lambda: not mesh.peer.policy.killed(agent="writer"), timeout=40)
    async with asyncio.timeout(60):
        while True:
            try:
                return await mesh.ask("writer", command="write", timeout=10)
            except MeshError:
                await asyncio.sleep(0.1)
