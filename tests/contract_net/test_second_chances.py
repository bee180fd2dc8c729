"""Who is too slow by its own figures gets a call now and then: figures that nobody renews are never right again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.contract_net.second_chances import LEAST, MOST, SHARE, SecondChances
from mesh.protocols.acts import Mode
from mesh.protocols.constraints import Budget, Constraints
from mesh.protocols.errors import NoBids
from tests.contract_net.market_place import MarketPlace

EVERY_MODE: list[Mode] = ["standing", "directed", "broadcast"]
TOO_LITTLE = 0.5
"""Seconds in which a call is to be done; those of the hang took 4."""


async def hung(place: MarketPlace, effect: str = "costly") -> None:
    """A worker whose calls took 4 s each, and which is well again."""
    await place.worker("a", effect=effect)
    for _ in range(12):
        await place.contract(4.0, timeout=10.0)
    await place.clock.sleep(5.0)


async def refused(place: MarketPlace, mode: Mode, constraints: Constraints) -> bool:
    try:
        await place.contract(0.0, timeout=TOO_LITTLE, mode=mode, constraints=constraints)
    except NoBids:
        return True
    return False


async def refusals(place: MarketPlace, mode: Mode, seconds: int, constraints: Constraints | None = None) -> list[bool]:
    """What becomes of a short call each second."""
    heard = []
    for _ in range(seconds):
        heard.append(await refused(place, mode, constraints or Constraints()))
        await place.clock.sleep(1.0)
    return heard


@pytest.mark.virtual
@pytest.mark.parametrize("quietly", [True, False])
@pytest.mark.parametrize("mode", EVERY_MODE)
async def test_an_instance_that_hung_gets_short_calls_again(place: MarketPlace, mode: Mode, quietly: bool) -> None:
    place.quietly = quietly
    await hung(place)
    heard = await refusals(place, mode, 1200)
    assert heard[0], "the first is refused: it might be as slow as it says"
    assert not any(heard[-60:]), "in the end none is"


@pytest.mark.virtual
@pytest.mark.parametrize("mode", EVERY_MODE)
async def test_what_may_be_done_at_most_once_is_not_risked_on_it(place: MarketPlace, mode: Mode) -> None:
    await hung(place, "at_most_once")
    assert all(await refusals(place, mode, 300))


@pytest.mark.virtual
@pytest.mark.parametrize("mode", EVERY_MODE)
async def test_other_constraints_are_not_overlooked(place: MarketPlace, mode: Mode) -> None:
    await hung(place)
    assert all(await refusals(place, mode, 300, Constraints(budget=Budget(wall_time=0.4))))


@given(st.floats(0.0, 100.0), st.lists(st.floats(0.0, 30.0), max_size=200))
def test_at_most_a_tenth_of_its_time_goes_into_chances(latency: float, pauses: list[float]) -> None:
    chances, now, taken = SecondChances(), 0.0, 0
    for pause in pauses:
        now += pause
        if chances.due("a", latency, now):
            chances.take("a", now)
            taken += 1
    assert taken * max(LEAST, SHARE * latency) <= now


def test_only_so_many_are_remembered() -> None:
    chances = SecondChances()
    for number in range(3 * MOST):
        chances.due(str(number), 1.0, 0.0)
    assert len(chances._since) == MOST
