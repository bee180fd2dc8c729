"""Work that an agent holds when the owner of its job is killed is not lost, and not done twice: its result goes to the next
owner, whether the agent ended before that one came or after.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh.client.mesh import Mesh
from mesh.jobs.journals.journals import Journals
from mesh.jobs.outside.submission import JobHandle
from mesh.protocols.job_events import StepFailed, StepSucceeded
from mesh.testing.virtual_time import until
from tests.effect_target import EffectTarget
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

WORKER = Path(__file__).with_name("outliving_worker.py")
ORDERS = ("careful", "easy", "refused")


class Crew:
    """The processes of one test, in one folder with their ledger."""

    def __init__(self, server: RealServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.ledger = EffectTarget(folder / "ledger", honours_keys=False)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self, *names: str) -> None:
        for name in names:
            command = [sys.executable, str(WORKER), self.server.url, name, str(self.folder)]
            self._processes[name] = subprocess.Popen(command)  # noqa: ASYNC220 - it returns at once
        for name in names:
            await until((self.folder / f"{name}.ready").exists, timeout=60)

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait(60)

    async def have(self, what: str) -> None:
        """All agents have come so far."""
        await until(lambda: all(self.ledger.count(f"{order} {what}") for order in ORDERS), timeout=30)

    def finish(self) -> None:
        """Let the agents come to their end."""
        (self.folder / "finish").touch()

    def stop(self) -> None:
        for name in list(self._processes):
            self.kill(name)


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    with RealServer(tmp_path / "server") as server:
        crew = Crew(server, tmp_path)
        yield crew
        crew.stop()


@pytest.fixture
async def client(crew: Crew) -> AsyncIterator[Mesh]:
    async with Mesh.connect(crew.server.url, name="test") as mesh:
        yield mesh


async def begun(client: Mesh, crew: Crew) -> JobHandle:
    """A job whose owner was killed while agents work for it."""
    await crew.start("agent-1", "flow-1")
    handle = await client.submit("all")
    await crew.have("begun")
    crew.kill("flow-1")
    return handle


async def applied_once(client: Mesh, crew: Crew, handle: JobHandle) -> None:
    """Every handler ran once, under one award, and what came of it stands in the journal once, written by the second owner."""
    *done, missing = await handle.result(60)
    assert done == ["careful done", "easy done"]
    assert missing["error"]["message"] == "refused is not done here"
    assert set(crew.ledger.counts().values()) == {1}
    state = await handle.state()
    assert [(each.process, each.epoch) for each in state.claims] == [("flow-1", 1), ("flow-2", 2)]
    assert not state.void
    assert {key: len(step.awards) for key, step in state.steps.items()} == dict.fromkeys(ORDERS, 1)
    journal = await Journals(client.peer.store, client.peer.subjects).read("default", handle.id)
    results = [
        (event.key, recorded.entry.epoch)
        for recorded in journal
        for event in recorded.entry.events
        if isinstance(event, StepSucceeded | StepFailed)
    ]
    assert sorted(results) == [(order, 2) for order in ORDERS]


async def test_an_agent_that_ends_before_the_next_owner_came(client: Mesh, crew: Crew) -> None:
    handle = await begun(client, crew)
    crew.finish()
    await crew.have("ended")
    await crew.start("flow-2")
    await applied_once(client, crew, handle)


async def test_an_agent_that_ends_after_the_next_owner_came(client: Mesh, crew: Crew) -> None:
    handle = await begun(client, crew)
    await crew.start("flow-2")
    async for _ in handle.follow():
        if (await handle.state()).epoch == 2:
            break
    crew.finish()
    await applied_once(client, crew, handle)
