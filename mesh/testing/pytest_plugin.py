"""The pytest side of `mesh.testing`: `@pytest.mark.virtual`, and the fixtures `clock`, `ids`, `mesh_server`, `mesh_local`
and `mesh_replayed`.

pytest finds it by itself where this package is installed. It must cost nothing where it is not used: nothing is imported
and no hook of pytest-asyncio is taken before a test is marked. A marked test and its async fixtures run on a
`VirtualLoop`; all others are left alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mesh.jobs.replay.replaying import Report
    from mesh.protocols.ports import Clock, Ids
    from mesh.transport.memory.server import MemoryServer

NEEDS_ASYNCIO = "needs pytest-asyncio 1.4 or newer: pip install 'pytest-asyncio>=1.4'"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known under --strict-markers, and the async fixture where it can run."""
    config.addinivalue_line("markers", "virtual: runs on virtual time; only for code that stays in memory")
    if config.pluginmanager.has_plugin("asyncio"):
        from mesh.testing import pytest_fixtures

        config.pluginmanager.register(pytest_fixtures, "mesh.testing.pytest_fixtures")


def _can_run(config: pytest.Config) -> bool:
    return config.pluginmanager.has_plugin("asyncio") and hasattr(config.hook, "pytest_asyncio_loop_factories")


@pytest.hookimpl(hookwrapper=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> Generator[None, Any, None]:
    """The first marked test brings the hooks of virtual time with it; the mark says `asyncio` as well."""
    if inspect.iscoroutinefunction(obj) and _marked(collector, obj) and _can_run(collector.config):
        manager = collector.config.pluginmanager
        if not manager.has_plugin("mesh.testing.pytest_virtual"):
            from mesh.testing import pytest_virtual

            manager.register(pytest_virtual, "mesh.testing.pytest_virtual")
        pytest.mark.asyncio(getattr(obj, "__func__", obj))
    yield


def _marked(collector: pytest.Module | pytest.Class, obj: object) -> bool:
    own = getattr(obj, "pytestmark", [])
    return any(mark.name == "virtual" for mark in own) or collector.get_closest_marker("virtual") is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where a marked test cannot run, say what is missing."""
    if item.get_closest_marker("virtual") is None or _can_run(item.config):
        return
    if inspect.iscoroutinefunction(getattr(item, "obj", None)):
        pytest.fail(f"@pytest.mark.virtual {NEEDS_ASYNCIO}", pytrace=False)


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> Clock:
    """The clock of the test's loop: virtual where the test is marked so."""
    return _clock(request)


@pytest.fixture
def ids(request: pytest.FixtureRequest) -> Ids:
    """Ids that repeat from run to run: they stand on an own virtual or system clock."""
    from mesh.clock import SeededIds

    return SeededIds(_clock(request), seed=7)


@pytest.fixture
def mesh_server(clock: Clock, ids: Ids) -> MemoryServer:
    """A server in memory on the test's clock: for `local_mesh(mesh_server, process=…)` and `Faults(mesh_server)`."""
    from mesh.transport.memory.server import MemoryServer

    return MemoryServer(clock, ids)


@pytest.fixture
def mesh_local() -> None:
    """A mesh in memory. This one only says what is missing; `pytest_fixtures` has the real one."""
    pytest.fail(f"the fixture mesh_local {NEEDS_ASYNCIO}", pytrace=False)


@pytest.fixture
def mesh_replayed(request: pytest.FixtureRequest) -> Callable[..., Awaitable[list[Report]]]:
    """`await mesh_replayed("old-jobs.jsonl", publish_review)`: `mesh.testing.replayed`, with paths from the test's own folder."""
    from mesh.testing.replaying import replayed

    folder = request.path.parent
    return lambda path, *workflows: replayed(folder / path, *workflows)


def _clock(request: pytest.FixtureRequest) -> Clock:
    if request.node.get_closest_marker("virtual"):
        from mesh.testing.virtual_time import VirtualClock

        return VirtualClock()
    from mesh.clock import SystemClock

    return SystemClock()
