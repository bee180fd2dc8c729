"""Broadcast, directed and standing awards: one state machine, the same result."""

from __future__ import annotations

import msgspec
import pytest

from mesh.contract_net.bids import BEST
from mesh.protocols.acts import Mode
from mesh.protocols.errors import NoBids
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace

pytestmark = pytest.mark.virtual


@pytest.mark.parametrize("mode", ["broadcast", "directed", "standing"])
async def test_the_work_is_done_once_and_its_award_is_in_the_ledger(place: MarketPlace, mode: Mode) -> None:
    workers = [await place.worker(name) for name in ("a", "b", "c")]
    contracted = await place.contract(0.01, mode=mode)
    assert msgspec.json.decode(contracted.content) == contracted.winner.process
    assert len(place.executed(*workers)) == 1
    assert [each.award for each in place.ledger.records] == [contracted.award.award]
    assert len(contracted.award.candidates) == 3
    assert all(each.score is not None for each in contracted.award.candidates)
    assert contracted.usage.exit_status == "success"
    assert contracted.stamps.agent_version == "1.0.0"


async def test_a_standing_award_of_quick_work_is_one_message_each_way(place: MarketPlace) -> None:
    await place.worker("a")
    await place.contract(0.0)
    assert place.seen == ["accept-proposal", "inform-result"]


async def test_work_that_is_not_ready_in_20_ms_is_confirmed_first(place: MarketPlace) -> None:
    await place.worker("a")
    await place.contract(0.1)
    assert place.seen == ["accept-proposal", "confirm", "inform-result"]


async def test_a_broadcast_rejects_the_others_once_the_winner_has_confirmed(place: MarketPlace) -> None:
    for name in ("a", "b", "c"):
        await place.worker(name)
    await place.contract(0.1, mode="broadcast")
    assert place.seen.count("propose") == 3
    assert place.seen.count("reject-proposal") == 2
    assert place.seen.index("confirm") < place.seen.index("reject-proposal")


async def test_one_process_answers_a_broadcast_once_for_all_its_instances(place: MarketPlace) -> None:
    for number in range(6):
        await place.worker("a", instance=f"i{number}")
    contracted = await place.contract(0.0, mode="broadcast")
    assert place.seen.count("propose") == 1
    assert len(contracted.award.candidates) == BEST
    assert "reject-proposal" not in place.seen, "an award that is begun settles what else its process offered"


async def test_a_directed_call_asks_each_process_once_for_all_who_are_asked_there(place: MarketPlace) -> None:
    for process, instance in (("a", "one"), ("a", "two"), ("b", "one")):
        await place.worker(process, instance=instance)
    contracted = await place.contract(0.0, mode="directed")
    assert (place.seen.count("call-for-proposal"), place.seen.count("propose")) == (2, 2)
    assert len(contracted.award.candidates) == 3
    await until(lambda: not any(each.book.bids._by_seat for each in place.participants.values()))
    assert place.seen.count("reject-proposal") == 1


async def test_the_window_closes_as_soon_as_everybody_known_has_answered(place: MarketPlace) -> None:
    await place.worker("a")
    await place.worker("b")
    caller = await place.caller()
    before = place.clock.monotonic()
    await caller.contract(place.call(mode="broadcast"))
    assert place.clock.monotonic() - before < 0.02


async def test_nobody_listening_means_no_bids_at_once(place: MarketPlace) -> None:
    caller = await place.caller()
    before = place.clock.monotonic()
    with pytest.raises(NoBids, match="nobody listens"):
        await caller.contract(place.call("nobody.does-this"))
    assert place.clock.monotonic() - before < 0.02


async def test_the_reason_of_a_choice_is_a_sentence_with_its_figures(place: MarketPlace) -> None:
    for name in ("a", "b", "c"):
        await place.worker(name)
    reason = (await place.contract(0.0, mode="broadcast")).award.reason
    assert reason.startswith("lowest cost 0.05 of 3")
    assert "(price 0.00, latency 0.05, risk 0.00)" in reason
