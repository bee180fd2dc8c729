"""The pytest side of virtual time: `@pytest.mark.virtual`, and the fixtures `clock` and `ids`.

A marked test and its async fixtures run on a `VirtualLoop`; all others on asyncio's own loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from mesh.clock import SeededIds, SystemClock
from mesh.protocols.ports import Clock, Ids
from mesh.testing.virtual_time import VirtualClock, VirtualLoop

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known under --strict-markers."""
    config.addinivalue_line("markers", "virtual: runs on virtual time; only for code that stays in memory")


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Which loop the test runs on."""
    if item.get_closest_marker("virtual"):
        return {"virtual": VirtualLoop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> Clock:
    """The clock of the test's loop: virtual where the test is marked so."""
    return VirtualClock() if request.node.get_closest_marker("virtual") else SystemClock()


@pytest.fixture
def ids(request: pytest.FixtureRequest) -> Ids:
    """Ids that repeat from run to run: they stand on an own virtual or system clock."""
    return SeededIds(VirtualClock() if request.node.get_closest_marker("virtual") else SystemClock(), seed=7)
