"""A winner that asks others: what failed there is repeated there, and the winner's own work is not given to another for it."""

from __future__ import annotations

import pytest

from mesh.actors.declaring.definition import agent
from mesh.actors.running.context import Context
from mesh.protocols.errors import AgentLost, Draining, MeshError, Overloaded
from tests.contract_net.market_place import MarketPlace

pytestmark = pytest.mark.virtual
RESERVE = 3


@pytest.mark.parametrize("kind", [AgentLost, Draining, Overloaded])
@pytest.mark.parametrize("way", ["ask", "call"])
async def test_what_failed_below_a_winner_is_not_awarded_again(
    place: MarketPlace, kind: type[MeshError], way: str
) -> None:
    begun = {"front": 0, "back": 0}

    @agent(capability="front", effect="pure")
    async def front(ctx: Context) -> None:
        begun["front"] += 1
        await (ctx.ask("back") if way == "ask" else ctx.call("back"))

    @agent(capability="back", effect="pure")
    async def back() -> None:
        begun["back"] += 1
        raise kind("not now")

    for process in ("a", "b"):
        await place.host(front, process=process)
    await place.host(back, process="c")
    client = await place.client()
    with pytest.raises(MeshError):
        await client.call("front", timeout=4.0)
    assert begun["front"] == 1
    assert 1 <= begun["back"] <= 1 + RESERVE
