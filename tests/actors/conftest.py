"""Neighbours: a few processes of one mesh on a server in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mesh.protocols.ports import Clock, Ids
from tests.actors.neighbours import Neighbours


@pytest.fixture
async def neighbours(clock: Clock, ids: Ids) -> AsyncIterator[Neighbours]:
    neighbours = Neighbours(clock, ids)
    yield neighbours
    await neighbours.leave()
