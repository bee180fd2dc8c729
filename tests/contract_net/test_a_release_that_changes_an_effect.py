"""While a release is rolled out that changes what may be repeated, each award goes by whoever gets it, in whatever order they are
listed; what has to be decided before goes by the strictest of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.contract_net.calls import Contracted
from mesh.protocols.acts import Mode
from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import InDoubt
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import Idempotent, MarketPlace, Once, Pure

pytestmark = pytest.mark.virtual

MODES: tuple[Mode, ...] = ("standing", "directed")
STRICT, PURE = {"is": "strict"}, {"is": "pure"}


@pytest.fixture(params=["strict-first", "pure-first"])
async def rollout(request: pytest.FixtureRequest, place: MarketPlace) -> dict[str, Any]:
    """Two that may do it again and one that may not, listed in either order."""

    async def pure() -> None:
        for name in ("p", "q"):
            workers[name] = await place.host(Pure, process=name, labels=PURE)

    async def strict() -> None:
        workers["s"] = await place.host(Once, process="s", labels=STRICT)

    workers: dict[str, Any] = {}
    for each in (strict, pure) if request.param == "strict-first" else (pure, strict):
        await each()
    await place.caller()
    return workers


async def begun(workers: dict[str, Any]) -> str:
    await until(lambda: any(each.target.begun for each in workers.values()))
    return next(name for name, each in workers.items() if each.target.begun)


def called(place: MarketPlace, labels: dict[str, str], mode: Mode) -> asyncio.Task[Contracted]:
    return place.start(0.5, mode=mode, constraints=Constraints(labels=labels))


@pytest.mark.parametrize("mode", MODES)
async def test_what_a_strict_winner_has_begun_is_in_doubt_when_it_dies(
    place: MarketPlace, rollout: dict[str, Any], mode: Mode
) -> None:
    work = called(place, STRICT, mode)
    place.kill(await begun(rollout))
    with pytest.raises(InDoubt):
        await work
    assert [each.effect for each in place.ledger.records] == ["at_most_once"]


@pytest.mark.parametrize("mode", MODES)
async def test_what_a_pure_winner_has_begun_goes_to_another_when_it_dies(
    place: MarketPlace, rollout: dict[str, Any], mode: Mode
) -> None:
    work = called(place, PURE, mode)
    first = await begun(rollout)
    place.kill(first)
    assert (await work).winner.process in {"p", "q"} - {first}
    assert [each.effect for each in place.ledger.records] == ["pure", "pure"]


async def test_a_caller_who_says_that_it_may_be_repeated_does_not_know_better_than_a_strict_winner(
    place: MarketPlace,
) -> None:
    workers = {name: await place.worker(name, effect="at_most_once") for name in ("a", "b")}
    await place.caller()
    work = place.start(0.5, effect="pure")
    place.kill(await begun(workers))
    with pytest.raises(InDoubt):
        await work


async def test_an_instance_that_looks_at_the_key_has_one_whoever_is_listed_beside_it(
    place: MarketPlace, rollout: dict[str, Any]
) -> None:
    keyed = await place.host(Idempotent, process="i", labels={"is": "keyed"})
    client = await place.client()
    await client.call("do", 0.0, constraints=Constraints(labels={"is": "keyed"}))
    assert all(keyed.target.done)
    assert keyed.target.done
