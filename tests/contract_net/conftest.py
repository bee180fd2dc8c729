"""A market place: processes that bid, award and work, on a server in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mesh.protocols.ports import Clock, Ids
from tests.contract_net.market_place import MarketPlace


@pytest.fixture(params=["quietly", "by-auction"])
async def place(request: pytest.FixtureRequest, clock: Clock, ids: Ids) -> AsyncIterator[MarketPlace]:
    place = MarketPlace(clock, ids, quietly=request.param == "quietly")
    yield place
    await place.leave()
