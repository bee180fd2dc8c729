"""`mesh breaker`, and suspects, with processes of their own on a real server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mesh import Mesh, agent
from mesh.cli.breaker import instead_of, wanted_of
from mesh.cli.exits import BadInput
from mesh.protocols.breaker_rows import BreakerAct
from mesh.protocols.errors import BreakerOpen, MeshError
from mesh.testing.virtual_time import until
from tests.command_line import CommandLine
from tests.servers import RealServer

pytestmark = [pytest.mark.server]

SHOP = Path(__file__).with_name("ill_process.py")


@agent
async def bystander(text: str) -> str:
    return text


@pytest.fixture
async def callers(server: RealServer) -> AsyncIterator[list[Mesh]]:
    """Two processes that call; they host something, so that they are listed and their beats carry their votes."""
    async with AsyncExitStack() as stack:
        meshes = []
        for name in ("ann", "bob"):
            mesh = await stack.enter_async_context(Mesh.connect(server.url, process=name))
            await mesh.host(bystander)
            meshes.append(mesh)
        yield meshes


@pytest.fixture
async def ill(server: RealServer, tmp_path: Path) -> AsyncIterator[Path]:
    """A worker process that fails while the file is there."""
    mood = tmp_path / "ill"
    mood.touch()
    process = await asyncio.create_subprocess_exec(sys.executable, str(SHOP), server.url, str(mood), stdout=-1)
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"ready"
    yield mood
    process.terminate()
    await process.wait()


async def test_two_processes_make_a_suspect_of_a_third_until_their_trial_calls_succeed(
    callers: list[Mesh], ill: Path, cli: CommandLine
) -> None:
    await until(lambda: all(mesh.directory.lookup("work.ill") for mesh in callers), timeout=20)
    for mesh in callers:
        found = await asyncio.gather(*(mesh.ask("work.ill") for _ in range(3)), return_exceptions=True)
        while not isinstance(found[-1], BreakerOpen):  # a second later it may let a trial call through, which fails
            found += await asyncio.gather(mesh.ask("work.ill"), return_exceptions=True)
        assert all(isinstance(each, MeshError) for each in found)
    listing = callers[0].directory.listing("shop.worker.shop")
    assert listing is not None
    await until(lambda: listing.state == "suspect", timeout=20)

    code, out, _ = await cli("registry", "show", "worker", "-o", "json")
    assert code == 0
    assert json.loads(out)[0]["suspicion"] == "breakers of 2 processes (ann, bob) are open against it"
    code, out, _ = await cli("breaker", "ls", "--tripped", "-o", "json")
    assert {(row["process"], row["kind"], row["target"]) for row in json.loads(out)} == {
        ("ann", "call", "shop.worker.shop"),
        ("bob", "call", "shop.worker.shop"),
    }

    ill.unlink()  # noqa: ASYNC240 - nothing else runs here
    for mesh in callers:
        await until(lambda mesh=mesh: mesh.peer.breakers.allows("shop.worker.shop", "work.ill"), timeout=20)
        for _ in range(3):
            assert await mesh.ask("work.ill") == "well"
    await until(lambda: listing.state == "ready", timeout=20)


async def test_breakers_are_shown_forced_closed_and_reset_by_a_person(callers: list[Mesh], cli: CommandLine) -> None:
    ann, bob = callers
    await until(lambda: all(len(mesh.directory.lookup("bystander", state=None)) == 0 for mesh in callers), timeout=5)
    await until(lambda: len(ann.directory.instances("bystander")) == 2, timeout=20)
    assert await ann.ask("bystander.bob", "hello") == "hello"

    code, out, err = await cli(
        "breaker", "open", "--target", "bystander.bob", "--process", "ann", "--reason", "incident 7", "-o", "json"
    )
    assert code == 0, err
    (row,) = json.loads(out)
    assert (row["process"], row["state"], row["reason"]) == ("ann", "forced-open", "incident 7")
    assert "@" in row["by"]
    assert "forced in 1 process, while they run" in err
    assert "hosts nothing" in err
    assert "`mesh kill instance bystander.bob --reason …`" in err
    with pytest.raises(BreakerOpen, match="incident 7"):
        await ann.ask("bystander.bob", "hello")
    assert await bob.ask("bystander.bob", "hello") == "hello", "only ann was told to"
    assert ann.peer.votes.cast() == ()

    code, out, _ = await cli("breaker", "reset", "--target", "bystander.bob", "-o", "json")
    assert {row["state"] for row in json.loads(out)} == {"forced-open", "closed"}
    code, out, _ = await cli("breaker", "close", "--target", "*.bystander.bob", "-o", "json")
    assert {row["state"] for row in json.loads(out)} == {"closed"}
    assert await ann.ask("bystander.bob", "hello") == "hello"

    code, out, _ = await cli("breaker", "show", "--process", "ann", "--target", "bystander.bob", "-o", "json")
    (row,) = [row for row in json.loads(out) if row["kind"] == "call"]
    assert [(each["was"], each["state"]) for each in row["history"]] == [
        ("closed", "forced-open"),
        ("forced-open", "closed"),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("ls", "--process", "nobody"), 2, "no process 'nobody' is there"),
        (("reset", "--target", "nobody"), 2, "no breaker is called that"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)
async def test_what_cannot_be_done_is_said(
    callers: list[Mesh], cli: CommandLine, arguments: tuple[str, ...], code: int, says: str
) -> None:
    got, out, err = await cli("breaker", *arguments)
    assert got == code
    assert says in out + err


@pytest.mark.parametrize(
    ("target", "capability", "kind", "switch"),
    [
        ("writer", None, None, "agent writer"),
        ("shop.writer.w-1", None, None, "instance writer.w-1"),
        ("writer@2.0.0", "write", "quality", "version writer@2.0.0"),
        (None, "pay.*", None, "capability pay.*"),
        ("*", "search.web", "tool", "tool search.web"),
    ],
)
def test_whoever_forces_a_breaker_is_told_which_switch_holds_for_all_and_for_good(
    target: str | None, capability: str | None, kind: str | None, switch: str
) -> None:
    assert instead_of(wanted_of("open", target, capability, kind, "why")) == f"`mesh kill {switch} --reason …`"
    assert instead_of(wanted_of("open", "w?", None, None, "why")) == "`mesh kill`"


@pytest.mark.parametrize(
    ("act", "target", "kind", "reason", "says"),
    [
        ("open", None, None, "y", "say which breakers to open"),
        ("open", "x", None, " ", "--reason: say why"),
        ("close", None, None, "", "say which breakers to close"),
        ("ls", None, "soft", "", "one of call, tool, quality"),
    ],
)
def test_what_says_too_little_is_not_sent(
    act: BreakerAct, target: str | None, kind: str | None, reason: str, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        wanted_of(act, target, None, kind, reason)
