from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh import Mesh
from tests.gateway.gate import WORKFLOWS, Gate, Receiver, gateway_on, listen
from tests.servers import RealServer


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RealServer(tmp_path_factory.mktemp("server")) as server:
        yield server.url


@pytest.fixture
async def workers(url: str) -> AsyncIterator[Mesh]:
    """A process that hosts the workflows, in this one."""
    async with Mesh.connect(url, name="worker") as mesh:
        for each in WORKFLOWS:
            await mesh.host_workflow(each)
        yield mesh


@pytest.fixture
async def gate(url: str, workers: Mesh, tmp_path: Path) -> AsyncIterator[Gate]:
    """A gateway with `tokens.toml` in the test's folder."""
    async with gateway_on(url, bound=tmp_path / "tokens.toml") as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    runner, found.url = await listen(found.take)
    yield found
    await runner.cleanup()
