"""A real server, workers in processes of their own, and those really killed, stopped and overrun."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
import uvloop

from mesh.client.mesh import Mesh
from mesh.contract_net.calls import Call, Contracted
from mesh.contract_net.ledger import MemoryLedger
from mesh.protocols.acts import Mode
from mesh.protocols.awards import AwardRecord
from mesh.protocols.errors import InDoubt, NoBids
from mesh.resilience.deadline import Deadline
from mesh.testing.virtual_time import until
from tests.command_line import CommandLine
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]
ROOT = Path(__file__).parents[2]
UNTIL_LET = -1.0
"""Seconds of work that ends when it is let go."""


class Workers:
    """Worker processes by name."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.processes: dict[str, subprocess.Popen[str]] = {}

    async def start(self, *names: str, effect: str = "costly") -> None:
        for name in names:
            self._spawn(name, effect)
        for name in names:
            line = await asyncio.to_thread(self.processes[name].stdout.readline)  # type: ignore[union-attr]
            assert line == "ready\n"

    def _spawn(self, name: str, effect: str) -> None:
        command = [sys.executable, "-m", "tests.contract_net.worker_process", self.url, name, effect, str(self.folder)]
        self.processes[name] = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.processes[name].pid, number)

    async def freeze(self, name: str) -> None:
        """SIGSTOP, and see it stand still."""
        self.signal(name, signal.SIGSTOP)
        await until(lambda: psutil.Process(self.processes[name].pid).status() == psutil.STATUS_STOPPED)

    def let(self) -> None:
        """Work that waits to be let go may end."""
        (self.folder / "let").touch()

    def noted(self, what: str) -> list[str]:
        path = self.folder / what
        return path.read_text().split() if path.exists() else []

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path / "server") as server:
        yield server


@pytest.fixture
def workers(server: RealServer, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(server.url, tmp_path)
    yield workers
    workers.stop()


@pytest.fixture
async def mesh(server: RealServer) -> AsyncIterator[Mesh]:
    async with Mesh.connect(server.url, process="caller") as mesh:
        yield mesh


async def known(mesh: Mesh, *names: str) -> None:
    await until(lambda: all(mesh.directory.listing(f"{name}.worker.{name}") for name in names))


async def contract(
    mesh: Mesh, seconds: float, *, mode: Mode = "standing", timeout: float = 50.0, ledger: MemoryLedger | None = None
) -> Contracted:
    deadline = Deadline.after(mesh.peer.clock, timeout)
    call = Call(capability="do", input=msgspec.Raw(json.dumps(seconds).encode()), deadline=deadline, mode=mode)
    return await mesh.initiator.contract(call, ledger=ledger)


async def held_by(workers: Workers) -> str:
    """The process that has begun."""
    await until(lambda: bool(workers.noted("begun")))
    return workers.noted("begun")[0]


@pytest.mark.parametrize("mode", ["standing", "directed", "broadcast"])
async def test_work_is_awarded_over_a_real_server(workers: Workers, mesh: Mesh, mode: Mode) -> None:
    await workers.start("a", "b")
    await known(mesh, "a", "b")
    contracted = await contract(mesh, 0.01, mode=mode)
    assert workers.noted("done") == [contracted.winner.process]


async def test_a_winner_killed_while_it_runs_is_replaced_at_once(workers: Workers, mesh: Mesh) -> None:
    await workers.start("a", "b")
    await known(mesh, "a", "b")
    work = asyncio.ensure_future(contract(mesh, UNTIL_LET))
    first = await held_by(workers)
    at = mesh.peer.clock.monotonic()
    workers.signal(first, signal.SIGKILL)
    workers.let()
    contracted = await work
    assert contracted.winner.process != first
    assert mesh.peer.clock.monotonic() - at < 25, "long before its deadline"
    assert workers.noted("done") == [contracted.winner.process]


async def test_at_most_once_work_of_a_killed_winner_is_in_doubt(workers: Workers, mesh: Mesh) -> None:
    await workers.start("a", "b", effect="at_most_once")
    await known(mesh, "a", "b")
    work = asyncio.ensure_future(contract(mesh, UNTIL_LET))
    first = await held_by(workers)
    workers.signal(first, signal.SIGKILL)
    with pytest.raises(InDoubt):
        await work
    assert workers.noted("begun") == [first]


async def test_a_winner_killed_before_it_could_confirm_is_replaced(workers: Workers, mesh: Mesh) -> None:
    await workers.start("a", "b")
    await known(mesh, "a", "b")
    await workers.freeze("a")

    class KillsTheFrozen(MemoryLedger):
        async def award(self, record: AwardRecord) -> None:
            await super().award(record)
            if record.winner.startswith("a."):
                asyncio.get_running_loop().call_later(0.05, workers.signal, "a", signal.SIGKILL)

    ledger = KillsTheFrozen()
    while not any(each.winner.startswith("a.") for each in ledger.records):
        assert (await contract(mesh, 0.0, ledger=ledger)).winner.process == "b"
    assert "a" not in workers.noted("begun")


async def test_a_winner_frozen_while_it_runs_is_replaced_and_its_own_result_not_applied(
    workers: Workers, mesh: Mesh
) -> None:
    await workers.start("a", "b")
    await known(mesh, "a", "b")
    work = asyncio.ensure_future(contract(mesh, UNTIL_LET))
    first = await held_by(workers)
    await workers.freeze(first)
    workers.let()
    assert (await work).winner.process != first
    assert len(workers.noted("begun")) == 2


async def test_a_process_frozen_before_its_award_is_passed_over_soon_and_never_begins_it(
    workers: Workers, mesh: Mesh
) -> None:
    await workers.start("a", "b")
    await known(mesh, "a", "b")
    await workers.freeze("a")
    at = mesh.peer.clock.monotonic()
    ledger = MemoryLedger()
    while not any(each.winner.startswith("a.") for each in ledger.records):
        assert (await contract(mesh, 0.0, ledger=ledger)).winner.process == "b"
    assert mesh.peer.clock.monotonic() - at < 25, "long before its deadline"
    workers.signal("a", signal.SIGCONT)
    await mesh.directory.ping("a", timeout=30)
    assert "a" not in workers.noted("begun"), "the cancel was waiting behind the award"


async def test_nobody_there_is_no_bids_at_once(mesh: Mesh) -> None:
    at = mesh.peer.clock.monotonic()
    with pytest.raises(NoBids):
        await contract(mesh, 0.0)
    assert mesh.peer.clock.monotonic() - at < 25, "long before its deadline"


async def test_more_work_than_capacity_is_all_done_in_the_end(workers: Workers, mesh: Mesh) -> None:
    await workers.start("a", "b")
    await known(mesh, "a", "b")
    ledger = MemoryLedger()
    await asyncio.gather(*(contract(mesh, 0.02, ledger=ledger) for _ in range(40)))
    assert len(workers.noted("done")) == 40
    assert len(ledger.records) <= 60, "few awards are declined"


async def test_a_result_survives_a_crash_of_the_server_in_the_middle(
    server: RealServer, workers: Workers, mesh: Mesh
) -> None:
    await workers.start("a", effect="at_most_once")
    await known(mesh, "a")
    work = asyncio.ensure_future(contract(mesh, 1.5))
    await held_by(workers)
    await asyncio.to_thread(server.restart)
    assert (await work).winner.process == "a"
    assert workers.noted("done") == ["a"]


def test_calls_run_on_uvloop_as_they_do_in_production(server: RealServer, tmp_path: Path) -> None:
    async def calling() -> None:
        workers = Workers(server.url, tmp_path)
        async with Mesh.connect(server.url, process="caller") as mesh:
            try:
                await workers.start("a", "b")
                await known(mesh, "a", "b")
                for mode in ("standing", "directed", "broadcast"):
                    await asyncio.gather(*(contract(mesh, 0.0, mode=mode) for _ in range(20)))
            finally:
                workers.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(calling())
    assert len((tmp_path / "done").read_text().split()) == 60


async def test_the_command_line_calls_and_explains(server: RealServer, workers: Workers) -> None:
    await workers.start("a", "b")

    async def mesh_call(*words: str) -> tuple[int, str, str]:
        return await CommandLine(server.url)("call", *words)

    code, out, err = await mesh_call("do", "0.0")
    assert (code, json.loads(out) in ("a", "b")) == (0, True), err
    async with asyncio.timeout(60):
        while err.count("worker.") < 3:  # a bid that comes too late is not shown
            code, out, err = await mesh_call("do", "0.0", "--mode", "broadcast", "--explain")
            assert (code, json.loads(out) in ("a", "b")) == (0, True), err
    assert "lowest cost" in err
    code, out, err = await mesh_call("do", "0.0", "--mode", "directed", "--explain", "-o", "json")
    [award] = json.loads(out)["awards"]
    assert {each["agent"] for each in award["candidates"]} == {"worker"}
    assert all(each["total"] is not None for each in award["candidates"])
    assert (await mesh_call("nobody.can"))[0] == 5
    assert (await mesh_call("do", "{not json"))[0] == 2
    assert (await mesh_call("Not A Capability"))[0] == 2
