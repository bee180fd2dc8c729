"""A supervisor over stub workers: real processes, the real channel, no mesh."""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mesh.clock import SystemClock, SystemIds
from mesh.host.console import Console
from mesh.host.manifest import AgentEntry, HostTable, Manifest
from mesh.host.restarts import RestartPolicy
from mesh.host.spawning import PlainSpawner
from mesh.host.supervisor import Supervisor
from mesh.settings.folder import MeshFolder
from mesh.settings.target import ServerTarget

STUB = (sys.executable, "-S", str(Path(__file__).with_name("stub_worker.py")))
QUICK = RestartPolicy(base=0.01, cap=0.05, crashes=3, window=10.0)

MakeSupervisor = Callable[..., Supervisor]


def entry(do: str = "live", **more: object) -> AgentEntry:
    labels = {"do": do, **more.pop("labels", {})}  # type: ignore[dict-item]
    return AgentEntry(use="stub.py", name=more.pop("name", "stub"), labels=labels, **more)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> MeshFolder:
    return MeshFolder.of(tmp_path).create()


@pytest.fixture
async def supervise(folder: MeshFolder) -> AsyncIterator[MakeSupervisor]:
    """Make supervisors whose processes are all gone at the end. `.screen` holds what the console showed."""
    made: list[Supervisor] = []

    def make(*agents: AgentEntry, **settings: object) -> Supervisor:
        host = HostTable(**{"restarts": QUICK, "hung_after": 20.0, "grace": 5.0, **settings})  # type: ignore[arg-type]
        clock = SystemClock()
        screen = io.StringIO()
        supervisor = Supervisor(
            Manifest(host=host, agents=agents, path=str(folder.path.parent / "mesh.toml")),
            host="h",
            target=ServerTarget(url="nats://127.0.0.1:1"),
            namespace="default",
            folder=folder,
            console=Console(screen),
            clock=clock,
            ids=SystemIds(clock),
            spawner=PlainSpawner(STUB),
        )
        supervisor.screen = screen  # type: ignore[attr-defined]
        made.append(supervisor)
        return supervisor

    yield make
    for supervisor in made:
        supervisor.kill()
        await supervisor.drain(1.0)
