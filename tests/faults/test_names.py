"""Reserved characters in names, at every public entrance.

Faults: wildcards, dots, blanks, line breaks, `$`, nothing, too much, other scripts and control characters as the name of a
process, namespace, instance, target, capability, event type, workflow, tenant or job: refused with a type before a byte is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from typer.testing import CliRunner

from mesh import agent
from mesh.cli.exits import BadInput, exit_for
from mesh.cli.main import app
from mesh.client.mesh import Mesh
from mesh.protocols.errors import InvalidName, MeshError, NoResponders, UnknownAgent
from mesh.testing.virtual_time import until
from tests.faults.expectations import told
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

NAMES = ("*", ">", "a.*", "a.>", "a b", "a\tb", "a\r\nPUB x 1", "$SYS", "$JS.API", ".", "a..b", ".a", "a.", "", "é", "\x00", "\ud800", "../a", "x" * 300)  # fmt: skip
REFUSED = (InvalidName, UnknownAgent, NoResponders)
"""The last two where the name is looked up among those who are there, and never becomes a subject."""


@agent
async def idle() -> None:
    """Somebody to be hosted."""


@pytest.fixture
async def said(raw: Client, mesh: Mesh) -> list[str]:
    """Every subject that somebody published to, but for what the honest client says of itself."""
    subjects: list[str] = []

    async def overhear(message: Msg) -> None:
        if not message.subject.startswith(("$JS", "$KV", "$SYS", "_INBOX", "mesh.default.roll", "mesh.default.live")):
            subjects.append(message.subject)

    await raw.subscribe(">", cb=overhear)
    await told(raw)
    return subjects


async def connects(server: RealServer, **names: Any) -> None:
    async with Mesh.connect(server.url, **names):
        raise AssertionError(f"{names} connected")


async def follows(mesh: Mesh, **where: Any) -> None:
    async for _ in mesh.events(**where):
        raise AssertionError(f"{where} heard something")


@pytest.mark.parametrize("what", ["namespace", "name", "process"])
async def test_nobody_connects_under_such_a_name(server: RealServer, said: list[str], what: str) -> None:
    for name in NAMES:
        if name or what == "namespace":
            with pytest.raises(InvalidName):
                await connects(server, **{what: name})
    assert said == []


ENTRANCES: dict[str, Callable[[Mesh, str], Any]] = {
    "host instance": lambda mesh, name: mesh.host(idle, instance=name),
    "ask": lambda mesh, name: mesh.ask(name, "x"),
    "ask an instance": lambda mesh, name: mesh.ask(f"idle.{name}", "x"),
    "tell": lambda mesh, name: mesh.tell(name, "x"),
    "stream": lambda mesh, name: anext(mesh.stream(name, "x")),
    "call": lambda mesh, name: mesh.call(name, "x"),
    "call everybody": lambda mesh, name: mesh.call(name, "x", mode="broadcast"),
    "call some": lambda mesh, name: mesh.call(name, "x", mode="directed"),
    "emit": lambda mesh, name: mesh.emit(name, "x"),
    "subscribe to a tenant": lambda mesh, name: mesh.subscribe(print, tenant=name if name != "*" else "a.b"),
    "subscribe to an agent": lambda mesh, name: mesh.subscribe(print, agent=name if name != "*" else "a.b"),
    "events of a tenant": lambda mesh, name: follows(mesh, tenant=name if name != "*" else "a.b"),
    "events of an agent": lambda mesh, name: follows(mesh, agent=name if name != "*" else "a.b"),
    "submit": lambda mesh, name: mesh.submit(name, "x"),
    "submit for a tenant": lambda mesh, name: mesh.submit("walk", "x", tenant=name),
    "state of a job": lambda mesh, name: mesh.job(name).state(),
    "result of a job": lambda mesh, name: mesh.job(name).result(1),
    "job of a tenant": lambda mesh, name: mesh.job("a", tenant=name).state(),
    "ping": lambda mesh, name: mesh.directory.ping(name),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
async def test_such_a_name_is_refused_with_a_type_and_nothing_is_said(
    mesh: Mesh, said: list[str], entrance: str
) -> None:
    for name in NAMES:
        with pytest.raises(REFUSED):
            await ENTRANCES[entrance](mesh, name)
    await mesh.emit("all.well")
    await until(lambda: bool(said))
    assert said == ["mesh.default.evt.default.client.all.well"]


COMMANDS = (
    "call #",
    "call work.echo --namespace #",
    "submit #",
    "submit walk --tenant #",
    "job show #",
    "job events #",
    "job result #",
    "events --agent #",
    "events --tenant #",
    "events --type #",
    "registry ls --namespace #",
    "registry show #",
    "registry schema #",
    "breaker ls --namespace #",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_refuses_such_a_name_as_bad_input(
    server: RealServer, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a b", "a..b", "$SYS", "a\r\nPUB x 1", "\x00", ""):
        words = [name if each == "#" else each for each in command.split()]
        done = CliRunner().invoke(app, [*words, "--server", server.url, "--timeout", "60"])
        assert isinstance(done.exception, MeshError | BadInput), (name, done.exit_code, done.output)
        assert exit_for(done.exception) == 2, (name, done.exception)
        assert not done.stdout


def test_an_agent_of_such_a_name_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        done = CliRunner().invoke(app, ["new", "agent", "--", name])
        assert isinstance(done.exception, BadInput), name
    assert list(tmp_path.iterdir()) == []
