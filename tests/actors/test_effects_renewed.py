"""The lease on an effect: a sign of life of our own, of which we did not hear that it was stored, is no stranger's."""

from __future__ import annotations

import asyncio

import pytest

from mesh.actors.keeping.state_shelf import Found
from mesh.protocols.errors import NoResponders, Unavailable
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


@pytest.mark.parametrize("after", [1.0, 1.0011, 1.0025, 1.5])
async def test_what_never_happened_is_forgotten_also_while_its_lease_is_renewed(
    neighbours: Neighbours, after: float
) -> None:
    effects = (await neighbours.peer("one")).effects("clerk")

    async def pay(key: str) -> None:
        await asyncio.sleep(after)
        raise NoResponders("nobody listens there")

    with pytest.raises(NoResponders):
        await effects.once("order-7", pay, effect="at_most_once")
    assert await effects.look("order-7") is None


async def test_a_long_call_keeps_its_lease_though_the_server_was_away_when_it_was_renewed(
    neighbours: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await neighbours.peer("one"), await neighbours.peer("two")
    called: list[str] = []

    async def pay(key: str) -> str:
        called.append(key)
        await asyncio.sleep(30)
        return "paid"

    shelf, away = one.keeping.effects.shelf, [True]
    get = shelf.get

    async def once_away(at: str) -> Found:
        if called and away:
            away.pop()
            raise Unavailable("the server is away")
        return await get(at)

    monkeypatch.setattr(shelf, "get", once_away)
    first = asyncio.ensure_future(one.effects("clerk").once("order-7", pay))
    await asyncio.sleep(0.1)
    assert await two.effects("clerk").once("order-7", pay) == "paid"
    assert await first == "paid"
    assert (called, away) == (["order-7"], [])
