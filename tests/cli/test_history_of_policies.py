"""What was decided is found on a slow server, too: an empty answer would be a wrong one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.cli.past import FIRST, QUIET, until_quiet
from mesh.protocols.ports import Clock

pytestmark = pytest.mark.virtual


async def test_the_first_decision_is_waited_for_and_the_last_one_is_not_waited_out(clock: Clock) -> None:
    async def found() -> AsyncIterator[Any]:
        await clock.sleep(0.9 * FIRST)
        for number in range(3):
            yield SimpleNamespace(payload={"number": number})
        await clock.sleep(1000.0)

    began = clock.monotonic()
    assert [event.payload["number"] async for event in until_quiet(found())] == [0, 1, 2]
    assert clock.monotonic() - began <= FIRST + QUIET
