"""What a winner streams comes in order and whole, whatever size its items have; or the call says that something was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from mesh.actors.declaring.definition import agent
from mesh.protocols.errors import TimedOut
from mesh.protocols.ports import Message
from mesh.protocols.references import LIMIT
from tests.contract_net.market_place import MarketPlace

pytestmark = pytest.mark.virtual

LARGE = "x" * LIMIT


@agent(capability="tell", timeout=5.0)
async def tell(parts: list[bool]) -> AsyncIterator[str]:
    for number, large in enumerate(parts):
        yield f"{number}{LARGE if large else ''}"


@pytest.mark.parametrize("parts", [[True, False], [True, True, False, True], [False, True], [True]])
async def test_items_that_have_to_be_fetched_keep_their_place_before_those_that_follow(
    place: MarketPlace, parts: list[bool]
) -> None:
    await place.host(tell, process="a")
    caller = await place.caller()
    heard: list[str] = []
    contracted = await caller.contract(
        place.call("tell", parts), on_item=lambda each: heard.append(msgspec.json.decode(each)[0])
    )
    assert heard == [str(each) for each in range(len(parts))]
    assert [each[0] for each in msgspec.json.decode(contracted.content)] == heard


def losing(*lost: Callable[[bytes], bool]) -> Callable[[Message], bool]:
    """Lose the first message that each of these is about."""
    left = list(lost)

    def kept(message: Message) -> bool:
        hit = next((each for each in left if each(message.data)), None)
        if hit is not None:
            left.remove(hit)
        return hit is None

    return kept


def last_item(data: bytes) -> bool:
    return b'"kind":"item"' in data and b'"seq":1' in data


def any_item(data: bytes) -> bool:
    return b'"kind":"item"' in data


def result(data: bytes) -> bool:
    return b'"inform-result"' in data


@pytest.mark.parametrize(
    "lost",
    [(last_item,), (any_item, any_item), (last_item, result)],
    ids=["the-last", "all", "the-last-and-the-result"],
)
async def test_what_was_lost_before_the_result_is_missed(
    place: MarketPlace, lost: tuple[Callable[[bytes], bool]]
) -> None:
    """Not taken for a shorter answer, or for none: also where a copy of the award is answered with the result."""
    await place.host(tell, process="a")
    await place.caller()
    place.server.faults.filter = losing(*lost)
    with pytest.raises(TimedOut, match="was lost"):
        await place.contract([False, False], capability="tell", timeout=30.0)


async def test_a_lost_result_of_a_stream_is_fetched_by_the_probe(place: MarketPlace) -> None:
    await place.host(tell, process="a")
    await place.caller()
    place.server.faults.filter = losing(result)
    contracted = await place.contract([False, False], capability="tell", timeout=30.0)
    assert msgspec.json.decode(contracted.content) == ["0", "1"]


async def test_a_stream_without_items_is_an_empty_list_and_not_nothing(place: MarketPlace) -> None:
    await place.host(tell, process="a")
    contracted = await place.contract([], capability="tell")
    assert msgspec.json.decode(contracted.content) == []
    assert contracted.items == ()
