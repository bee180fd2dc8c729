"""One server, one host of workflows and one gateway for the tests of a file, all on one loop: making them costs more than most
tests do. Tests keep out of each other's way by tenants and by the names of jobs' doors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from mesh import Mesh
from tests.gateway.gate import WORKFLOWS, Gate, Receiver, gateway_on, listen
from tests.servers import RealServer

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every async test in this folder runs on the loop of its file."""
    for item in items:
        if item.path.parent == HERE and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RealServer(tmp_path_factory.mktemp("server")) as server:
        yield server.url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workers(url: str) -> AsyncIterator[Mesh]:
    """A process that hosts the workflows, in this one."""
    async with Mesh.connect(url, name="worker") as mesh:
        for each in WORKFLOWS:
            await mesh.host_workflow(each)
        yield mesh


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate(url: str, workers: Mesh, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gateway_on(url, bound=tmp_path_factory.mktemp("gateway") / "tokens.toml") as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    runner, found.url = await listen(found.take)
    yield found
    await runner.cleanup()
