"""Which loop a test runs on. Known to pytest only in a session that has a test on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from mesh.testing.virtual_time import VirtualLoop

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


@pytest.hookimpl(tryfirst=True)
def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory] | None:
    """Virtual time for tests that are marked so; others are the next one's business."""
    return {"virtual": VirtualLoop} if item.get_closest_marker("virtual") else None


@pytest.hookimpl(trylast=True, specname="pytest_asyncio_loop_factories")
def pytest_asyncio_default_loop() -> Mapping[str, LoopFactory]:
    """Where nobody else says anything, what asyncio and its policy give."""
    return {"asyncio": asyncio.new_event_loop}
