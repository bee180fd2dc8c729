"""Found by the simulator (seed 1319): an owner that takes an award up again goes by the effect that was journaled with it, not by
what the directory knows now. Before, where nobody who offers the capability was up, work that may be done at most once was taken
for costly, and awarded again to the first who came back."""

from __future__ import annotations

import pytest

from mesh.protocols.errors import InDoubt
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace

pytestmark = pytest.mark.virtual


async def test_what_may_be_done_at_most_once_stays_so_when_nobody_is_left_to_say_so(place: MarketPlace) -> None:
    lost = await place.worker("a", effect="at_most_once")
    call = place.start(0.5)
    await until(lambda: bool(lost.target.begun))
    record = place.ledger.records[0]
    place.kill("a")
    with pytest.raises(InDoubt):
        await call
    await place.peer("heir")
    heir = place.initiators["heir"]
    await until(lambda: heir.peer.directory.declared("do") is None)
    with pytest.raises(InDoubt):
        await heir.contract(place.call(payload=0.5), resume=record)
