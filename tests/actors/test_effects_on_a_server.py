"""Effects and states on a real server, by processes that are really killed, and with the server killed under them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh import Mesh, durable
from mesh.actors.keeping.state import State
from mesh.protocols.errors import Conflict
from mesh.testing.virtual_time import until
from tests.effect_target import EffectTarget
from tests.servers import RealServer

pytestmark = [pytest.mark.server]

WORKER = Path(__file__).with_name("effects_process.py")
KEYS = 120


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    with RealServer(tmp_path / "server") as running:
        yield running


@pytest.fixture
async def mesh(server: RealServer) -> AsyncIterator[Mesh]:
    async with Mesh.connect(server.url, name="test") as mesh:
        yield mesh


def outcomes(folder: Path, name: str) -> dict[str, str]:
    path = folder / f"{name}.outcomes"
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(line.split(" ", 1) for line in lines)


@pytest.mark.fault
async def test_whoever_is_killed_no_effect_happens_twice(server: RealServer, mesh: Mesh, tmp_path: Path) -> None:
    """Three processes want the same effects; one is killed in the middle, then the server, then another."""
    processes = {
        name: subprocess.Popen([sys.executable, str(WORKER), server.url, name, str(tmp_path), "0", str(KEYS)])  # noqa: ASYNC220
        for name in ("one", "two", "three")
    }

    async def far(name: str, count: int) -> None:
        await until(lambda: len(outcomes(tmp_path, name)) >= count, timeout=60)

    try:
        await far("one", 15)
        processes["one"].kill()
        await far("two", 30)
        server.kill()
        server.start()
        await far("two", 45)
        processes["two"].kill()
        assert await asyncio.to_thread(processes["three"].wait, 90) == 0
    finally:
        for each in processes.values():
            each.kill()
            each.wait(60)
    honouring, plain = EffectTarget(tmp_path / "honouring"), EffectTarget(tmp_path / "plain")
    assert (honouring.most, plain.most) == (1, 1)
    final = outcomes(tmp_path, "three")
    assert [key for key in final if int(key[1:]) % 2 == 0 and final[key] != f"done {key}"] == []
    doubtful = [key for key in final if final[key] == "in doubt"]
    assert len(doubtful) <= 3  # one that each kill interrupted
    for key in final:
        assert final[key] in (f"done {key}", "in doubt")
        assert key in doubtful or (plain if int(key[1:]) % 2 else honouring).count(key) == 1
    assert await mesh.peer.state("clerk", int).get("three") == KEYS


async def test_an_outcome_is_gone_after_its_horizon(mesh: Mesh) -> None:
    effects = mesh.peer.effects("clerk")
    calls: list[str] = []

    async def call(key: str) -> int:
        calls.append(key)
        return len(calls)

    for _ in range(2):  # the second one comes before the horizon, unless the machine stands still for so long
        assert await effects.once("k", call, horizon=8) == 1
    for _ in range(600):
        if await effects.look("k") is None:
            break
        await asyncio.sleep(0.1)
    assert await effects.once("k", call) == 2


async def test_any_key_versions_and_large_values_on_a_real_server(mesh: Mesh) -> None:
    state: State[str] = mesh.peer.state("clerk", durable(str, default="none"))
    keys = ["", "a.b", "*", ">", "ä b\n", "x" * 1024]
    for key in keys:
        assert await state.get(key) == "none"
        first = await state.put(key, "v" * 100_000, version=0)
        with pytest.raises(Conflict) as caught:
            await state.put(key, "w", version=0)
        assert caught.value.detail == {"expected": 0, "found": first}
    assert sorted(await state.keys()) == sorted(keys)
    assert len(await state.get("*")) == 100_000
    entry = await state.entry(">")
    await state.delete(">", version=entry.version)
    assert await state.put(">", "again", version=0) > entry.version
    assert await mesh.peer.state("nobody", str).keys() == []


async def test_changes_survive_the_server_being_killed_under_them(server: RealServer, mesh: Mesh) -> None:
    state: State[int] = mesh.peer.state("clerk", durable(int, default=0))
    done = 0

    async def count() -> None:
        nonlocal done
        for _ in range(40):
            await state.update("n", lambda value: value + 1)
            done += 1

    counting = [asyncio.ensure_future(count()) for _ in range(3)]
    await until(lambda: done >= 20, timeout=30)
    await asyncio.to_thread(server.restart)
    await asyncio.gather(*counting)
    assert await state.get("n") == 120
