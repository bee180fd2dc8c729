from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from mesh.settings.target import ServerTarget
from mesh.transport.connection import Connection, connect


class Dial(Protocol):
    async def __call__(self, url: str, **how: Any) -> Connection:
        """A connection over the wire that the test is run on; closed after the test. `how` are fields of the target."""


@pytest.fixture(params=["fast", "plain"])
async def dial(request: pytest.FixtureRequest) -> AsyncIterator[Dial]:
    """Connects over one wire, then over the other."""
    made: list[Connection] = []

    async def make(url: str, **how: Any) -> Connection:
        made.append(await connect(ServerTarget(url=url, **how), wire=request.param))
        return made[-1]

    yield make
    for connection in made:
        await connection.close()
