"""The code in the README and in `docs/` is true: it runs, and does what the text around it says.

Each document's Python blocks run in their order in one namespace. A block with `await` outside of a function is compiled,
and its imports are run.
"""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import mesh
from mesh import Agent, Mesh, agent, command
from mesh.actors.declaring.definition import definition_of
from mesh.protocols.errors import NoBids
from mesh.protocols.ports import Clock
from mesh.testing import Faults, until
from tests.command_line import MESH_PROCESS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    if "```python" in path.read_text(encoding="utf-8")
)
STAND_INS = {"ReviewRequest": dict[str, str], "Review": dict[str, str], "KINDS": ("security", "style")}
"""What a reader has of their own."""
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str) -> list[str]:
    return _BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the code hands to `run`."""
    found: list[Any] = []
    monkeypatch.setattr(mesh, "run", lambda *agents, **_: found.extend(agents))
    return found


def namespace_of(document: str) -> dict[str, Any]:
    """The names that a document's code makes."""
    module = ModuleType("documented")
    vars(module).update(STAND_INS)
    for number, text in enumerate(blocks(document)):
        where = f"{document}, block {number + 1}"
        code = compile(text, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & 0x80:  # it awaits: for a reader inside an async function
            imports = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
            code = compile(ast.Module(imports, []), where, "exec")
        exec(code, vars(module))
    return vars(module)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_runs(document: str, launched: list[Any]) -> None:
    namespace_of(document)


@pytest.mark.parametrize("document", ["README.md", "docs/writing-an-agent.md"])
async def test_the_six_lines_answer_on_a_mesh(document: str, launched: list[Any], mesh_local: Mesh) -> None:
    namespace_of(document)
    assert len(blocks(document)[0].strip().splitlines()) <= 7
    for each in launched:
        await mesh_local.host(each)
    assert await mesh_local.call("greet", name="Ada") == "Hello, Ada"


@pytest.mark.server
def test_the_six_lines_answer_as_a_program_on_a_server(tmp_path: Path) -> None:
    """The commands of the README, in a folder of their own."""
    (tmp_path / "greeter.py").write_text(blocks("README.md")[0])
    env = {name: value for name, value in os.environ.items() if not name.startswith(("NATS_", "MESH_"))}
    options: dict[str, Any] = {"cwd": tmp_path, "env": env, "text": True, "capture_output": True, "timeout": 50}
    assert subprocess.run([*MESH_PROCESS, "server", "start"], **options).returncode == 0
    try:
        with subprocess.Popen(
            [sys.executable, "greeter.py"], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True
        ) as greeter:
            try:
                assert greeter.stderr is not None
                assert "agent.ready" in greeter.stderr.readline()
                asked = subprocess.run([*MESH_PROCESS, "call", "greet", '{"name": "Ada"}'], **options)
                assert (asked.returncode, json.loads(asked.stdout)) == (0, "Hello, Ada"), asked.stderr
            finally:
                greeter.send_signal(signal.SIGTERM)
            assert greeter.wait(timeout=50) == 0
    finally:
        assert subprocess.run([*MESH_PROCESS, "server", "stop"], **options).returncode == 0


@pytest.mark.virtual
async def test_the_class_does_what_its_lines_say(launched: list[Any], mesh_local: Mesh, clock: Clock) -> None:
    watcher = namespace_of("docs/writing-an-agent.md")["PriceWatcher"]
    heard: list[Any] = []
    actor = await mesh_local.host(watcher)
    await mesh_local.subscribe(lambda event: heard.append(event.payload), "prices.counted")
    with pytest.raises(NoBids):
        await mesh_local.call("price.lookup", sku="a", mode="directed")
    await mesh_local.emit("price.changed", {"sku": "a", "price": 3.5})
    await until(lambda: bool(actor.target.seen))
    assert await mesh_local.call("price.lookup", sku="a", mode="directed") == 3.5
    assert [item async for item in mesh_local.stream("price.history", {"sku": "a", "days": 3})] == [0.0, 1.0, 2.0]
    await clock.sleep(61)
    assert [json.loads(each) if isinstance(each, bytes) else each for each in heard] == [{"count": 1}]
    assert actor.definition.description.startswith("Watches prices")


@pytest.mark.virtual
async def test_what_the_teller_keeps_is_changed_once_for_each_key(launched: list[Any], mesh_local: Mesh) -> None:
    documented = namespace_of("docs/writing-an-agent.md")
    await mesh_local.host(documented["Teller"])

    async def deposit(cents: int, key: str) -> Any:
        return await mesh_local.ask("teller", {"owner": "Ada", "cents": cents}, command="deposit", key=key)

    assert [await deposit(50, "a"), await deposit(50, "a"), await deposit(7, "b")] == [50, 50, 57]
    assert await mesh_local.ask("teller", "Ada", command="statement") == ["50 cents", "7 cents"]
    peer = mesh_local.peer
    await peer.state("shop", str).put("k", "Ada")
    customers = documented["customers"]
    assert (await peer.state("shop", customers).get("k")).name == "Ada"


def test_the_first_test_passes_as_it_stands(launched: list[Any]) -> None:
    namespace_of("docs/writing-an-agent.md")["test_it_greets"]()


@pytest.mark.virtual
async def test_the_second_test_passes_as_it_stands(launched: list[Any], mesh_local: Mesh) -> None:
    test: Callable[[Mesh], Awaitable[None]] = namespace_of("docs/writing-an-agent.md")[
        "test_a_slow_model_and_a_broken_one"
    ]
    started = time.monotonic()
    await test(mesh_local)
    assert time.monotonic() - started < 50


def test_the_defaults_are_those_of_the_table() -> None:
    class Plain(Agent):
        @command
        async def do(self) -> None: ...

        @command(reasoning=True)
        async def think(self) -> None: ...

    made = definition_of(Plain)
    assert (made.name, made.capacity, made.mailbox) == ("plain", 1, 256)
    do, think = made.handlers["do"], made.handlers["think"]
    assert (do.capability, do.effect, do.timeout, think.timeout) == ("", "costly", 5.0, 30.0)
    assert (do.options.price, do.options.tier) == (0.0, 0)

    @agent
    async def price_watcher() -> None: ...

    assert definition_of(price_watcher).name == "price-watcher"


def test_the_table_of_faults_names_each_of_them() -> None:
    table = (ROOT / "docs" / "writing-an-agent.md").read_text().rpartition("`Faults`, on a mesh in memory")[2]
    named = set(re.findall(r"`([a-z_]+)`", table))
    assert {name for name in vars(Faults) if not name.startswith("_")} <= named


@pytest.mark.parametrize(
    "document", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    here = (ROOT / document).parent
    assert not [each for each in targets if each and "://" not in each and not (here / each).exists()]


def test_a_command_that_is_said_to_end_with_exit_code_6_does_so_on_a_terminal_too() -> None:
    said = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if "exit code 6" in line]
    assert said
    assert [line for line in said if "--until-awaited" not in line] == []
