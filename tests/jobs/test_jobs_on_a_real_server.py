"""Jobs over a real server, driven by real processes that are really killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mesh.client.mesh import Mesh
from mesh.jobs.journals.journals import Journals
from mesh.jobs.outside.listing import list_jobs
from mesh.jobs.outside.submission import JobHandle
from mesh.protocols.job_state import JobState
from mesh.protocols.submission import job_id_for_key, job_id_for_message
from mesh.testing.virtual_time import until
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

WORKER = Path(__file__).with_name("job_worker.py")


class Workers:
    """The processes of one test."""

    def __init__(self, server: RealServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self, *names: str) -> None:
        for name in names:
            (self.folder / f"{name}.ready").unlink(missing_ok=True)
            command = [sys.executable, str(WORKER), self.server.url, name, str(self.folder)]
            self.processes[name] = subprocess.Popen(command)  # noqa: ASYNC220 - it returns at once
        for name in names:
            await until((self.folder / f"{name}.ready").exists, timeout=60)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait(60)

    def tell(self, name: str) -> None:
        (self.folder / name).touch()

    def effects(self) -> list[str]:
        with suppress(FileNotFoundError):
            return [line.split()[0] for line in (self.folder / "effects").read_text().splitlines()]
        return []

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path / "server") as running:
        yield running


@pytest.fixture
def workers(server: RealServer, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(server, tmp_path)
    yield started
    started.stop()


@pytest.fixture
async def client(server: RealServer) -> AsyncIterator[Mesh]:
    async with Mesh.connect(server.url, name="test") as mesh:
        yield mesh


async def once(handle: JobHandle, condition: Callable[[JobState], bool]) -> JobState:
    """The job's state as soon as it meets the condition."""
    async with asyncio.timeout(60):
        async for _ in handle.follow(state := JobState()):
            if condition(state):
                return state
    raise AssertionError(f"the job ended: {state}")


async def owner_once(handle: JobHandle, step: str) -> str:
    """Who drives the job, once the step has ended."""
    state = await once(handle, lambda state: step in state.steps and state.steps[step].ended)
    assert state.head is not None
    return state.head.owner


async def test_killing_the_owner_between_steps_loses_nothing_and_repeats_no_step(
    client: Mesh, workers: Workers
) -> None:
    await workers.start("flow-1", "flow-2")
    handle = await client.submit("walk", "near")
    first = await owner_once(handle, "first")
    workers.kill(first)
    workers.tell("second")
    assert await handle.result(60) == ["first", "second", "near"]
    assert workers.effects() == ["first", "second"]
    state = await handle.state()
    assert [each.process for each in state.claims] == [first, ({"flow-1", "flow-2"} - {first}).pop()]


async def test_an_owner_that_comes_back_under_its_name_takes_its_job_up_again(client: Mesh, workers: Workers) -> None:
    await workers.start("flow-1")
    handle = await client.submit("walk", "near")
    assert await owner_once(handle, "first") == "flow-1"
    workers.kill("flow-1")
    await workers.start("flow-1")
    workers.tell("second")
    assert await handle.result(60) == ["first", "second", "near"]
    assert workers.effects() == ["first", "second"]


async def test_the_work_an_agent_holds_when_the_owner_dies_is_not_done_twice(client: Mesh, workers: Workers) -> None:
    await workers.start("agent-1", "flow-1", "flow-2")
    workers.tell("second")
    handle = await client.submit("walk", "far")
    first = await owner_once(handle, "second")
    await once(handle, lambda state: "third" in state.steps)
    workers.kill(first)
    await once(handle, lambda state: state.epoch == 2)
    workers.tell("third")
    assert await handle.result(60) == ["first", "second", "third"]
    assert workers.effects() == ["first", "second", "third"]
    assert len((await handle.state()).steps["third"].awards) == 1


async def test_killing_the_server_in_the_middle_ends_nothing(
    client: Mesh, workers: Workers, server: RealServer
) -> None:
    await workers.start("agent-1", "flow-1")
    handles = [await client.submit("walk", "far", key=f"k{number}") for number in range(5)]
    await owner_once(handles[-1], "first")
    server.kill()
    workers.tell("second")
    server.start()
    await asyncio.sleep(0.5)
    server.restart()
    workers.tell("third")
    assert [await each.result(60) for each in handles] == [["first", "second", "third"]] * 5
    for handle in handles:
        assert not (await handle.state()).void
    again = await client.submit("walk", "far", key="k0")
    assert (again.id, again.duplicate) == (handles[0].id, True)


async def test_a_plain_publish_is_done_also_when_no_peer_was_up(client: Mesh, workers: Workers) -> None:
    await workers.start("flow-1")
    workers.kill("flow-1")
    client.peer.bus.publish("mesh.default.in.default.walk", b'"near"')
    client.peer.bus.publish("mesh.default.in.default.walk", b'{"nonsense": 1}')
    await client.peer.bus.flush()
    workers.tell("second")
    await workers.start("flow-2")
    journals = Journals(client.peer.store, client.peer.subjects)
    jobs = [job_id_for_message("mesh_default_IN", sequence) for sequence in (1, 2)]
    states = [await client.job(job).watch(timeout=60) for job in jobs]
    assert [each.status for each in states] == ["completed", "dead_lettered"]
    assert {each["id"] for each in await list_jobs(journals)} == set(jobs)
    assert workers.effects() == ["first", "second"]


async def test_two_tenants_may_use_the_same_message_id(client: Mesh, workers: Workers) -> None:
    """The server drops by message id over all subjects of a stream; a job of somebody else must not go with it."""
    await workers.start("flow-1")
    workers.tell("second")
    journals = Journals(client.peer.store, client.peer.subjects)
    for tenant in ("acme", "globex"):
        async with asyncio.timeout(40):  # a slow disk stretches the shortest window; no longer one is over by then
            while await journals.last(tenant, job_id_for_key(tenant, "order-1")) is None:
                client.peer.bus.publish(f"mesh.default.in.{tenant}.walk", b'"near"', headers={"Nats-Msg-Id": "order-1"})
                await client.peer.bus.flush()
                await asyncio.sleep(0.3)
    for tenant in ("acme", "globex"):
        handle = client.job(job_id_for_key(tenant, "order-1"), tenant=tenant)
        assert await handle.result(60) == ["first", "second", "near"]
