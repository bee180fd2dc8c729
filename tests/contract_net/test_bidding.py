"""From load to a bid, and what those are told who find no room."""

from __future__ import annotations

import math

import pytest

from mesh.actors.admitting.returning import Line
from mesh.actors.declaring.definition import agent
from mesh.contract_net.bidding import LINE, Load, bid


def test_an_idle_instance_bids_its_mean_time_and_room_for_one_more_than_it_runs() -> None:
    offer = bid(Load(capacity=1, latency=0.4, success=0.9, price=0.02, tier=2))
    assert (offer.latency, offer.success, offer.price, offer.tier) == (0.4, 0.9, 0.02, 2)
    assert (offer.capacity, offer.queue) == (2, 0)


def test_those_ahead_make_the_expected_time_longer() -> None:
    assert bid(Load(capacity=1, running=1, latency=0.4)).latency == pytest.approx(0.8)
    assert bid(Load(capacity=4, running=3, latency=0.4)).latency == pytest.approx(0.4)
    assert bid(Load(capacity=4, running=4, waiting=3, latency=0.4)).latency == pytest.approx(0.8)


def test_bids_in_the_air_take_room_and_time_as_if_awarded() -> None:
    free, bidding = Load(capacity=2, latency=1.0), Load(capacity=2, latency=1.0, in_air=2)
    assert bid(free).capacity - bid(bidding).capacity == 2
    assert bid(bidding).latency == pytest.approx(1.5)
    assert bidding.room == free.room, "an award of one of these bids must not count it twice"


def test_what_is_kept_for_other_tenants_is_no_room() -> None:
    assert bid(Load(capacity=2, running=1, kept=2)).capacity == 1


def test_room_never_goes_below_nothing() -> None:
    assert bid(Load(capacity=1, running=1, waiting=7)).capacity == 0


def test_those_who_are_declined_come_back_one_after_the_other() -> None:
    line = Line(LINE)
    assert [line.place(0.5, now=10.0) for _ in range(3)] == pytest.approx([0.5, 1.0, 1.5])
    assert line.place(0.5, now=60.0) == pytest.approx(0.5)


def test_the_line_has_an_end_for_those_who_gave_up_do_not_say_so() -> None:
    line = Line(LINE)
    assert max(line.place(1.0, now=10.0) for _ in range(100)) == pytest.approx(LINE)


@pytest.mark.parametrize("price", [-0.01, math.nan, math.inf, 1e12])
def test_a_price_that_nobody_could_bid_fails_at_its_definition(price: float) -> None:
    """Bid after bid would be none; and with no number in it, no heartbeat of its process could be read."""

    async def sell(what: str) -> str:
        return what

    with pytest.raises(TypeError, match="price"):
        agent(capability="sell", price=price)(sell)
