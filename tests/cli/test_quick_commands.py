"""Commands load what they need and nothing else: most of the time a command takes is spent on imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import RealServer

pytestmark = pytest.mark.server

SLOW = ("pydantic", "aiohttp", "rich", "tenacity", "email", "importlib.metadata", "tomllib", "nats.js", "mesh.jobs")
RUN = """
import json, sys
from mesh.cli.main import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RealServer(tmp_path_factory.mktemp("server")) as server:
        yield server.url


def loaded(program: str, url: str, folder: Path, *arguments: str) -> set[str]:
    """The modules that were loaded in the end."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder, env={**os.environ, "NATS_URL": url, "MESH_WIRE": "fast"}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "command",
    [
        ("registry", "ls"),
        ("registry", "ls", "--state", "ready", "--label", "gpu=yes", "--timeout", "2.5", "-o", "json"),
        ("registry", "ping"),
        ("ps",),
        ("call", "nobody.offers.this", "--timeout", "0.1"),
    ],
    ids=" ".join,
)
def test_a_command_loads_none_of_the_slow_libraries(url: str, tmp_path: Path, command: tuple[str, ...]) -> None:
    assert not loaded(RUN, url, tmp_path, *command) & set(SLOW)


def test_a_command_that_only_looks_loads_no_actors(url: str, tmp_path: Path) -> None:
    found = loaded(RUN, url, tmp_path, "registry", "ls")
    assert not {each for each in found if each.startswith(("mesh.actors", "mesh.contract_net", "mesh.client"))}


def test_jobs_are_listed_without_pydantic(url: str, tmp_path: Path) -> None:
    assert "pydantic" not in loaded(RUN, url, tmp_path, "job", "ls")


def test_an_agent_starts_without_the_command_line(url: str, tmp_path: Path) -> None:
    program = """
import json, os, signal, sys
from mesh import agent, run
from mesh.actors.peer import Peer

@agent(capability="greet")
async def greet(name: str) -> str:
    return name

hosted = Peer.host
async def host(*given, **named):
    actor = await hosted(*given, **named)
    os.kill(os.getpid(), signal.SIGTERM)
    return actor
Peer.host = host
try:
    run(greet)
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
    found = loaded(program, url, tmp_path)
    assert "mesh.client.running" in found
    assert not found & {*SLOW, "typer", "mesh.cli"}
