"""A winner that declines, dies, freezes or is slow: who gets the work then, and when nobody may."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from mesh.contract_net.mail import COPIES
from mesh.contract_net.track_record import Bidder
from mesh.protocols.auction_messages import Suspected
from mesh.protocols.errors import AgentLost, DeadlineExceeded, InDoubt, NoBids
from mesh.protocols.ports import Message
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace

pytestmark = pytest.mark.virtual


async def two(place: MarketPlace, effect: str = "costly") -> dict[str, Any]:
    """Two processes, of which `b` is not listed as ready until `a` has won."""
    return {name: await place.worker(name, effect=effect) for name in ("a", "b")}


def begun(workers: dict[str, Any]) -> list[str]:
    return [name for name, actor in workers.items() if actor.target.begun]


@pytest.mark.parametrize("effect", ["pure", "costly", "idempotent"])
async def test_work_of_a_winner_that_dies_while_running_is_awarded_again(place: MarketPlace, effect: str) -> None:
    workers = await two(place, effect)
    call = place.start(0.5)
    await until(lambda: bool(begun(workers)))
    [first] = begun(workers)
    at = place.clock.monotonic()
    place.kill(first)
    contracted = await call
    assert contracted.winner.process != first
    assert place.clock.monotonic() - at < 0.6, "a death is acted on at once, not when somebody looks"
    assert [each.number for each in place.ledger.records] == [1, 2]
    assert len({each.award for each in place.ledger.records}) == 2


async def test_idempotent_work_is_awarded_again_with_the_same_key(place: MarketPlace) -> None:
    workers = await two(place, "idempotent")
    call = place.start(0.5)
    await until(lambda: bool(begun(workers)))
    place.kill(begun(workers)[0])
    await call
    [one], [other] = (actor.target.begun for actor in workers.values())
    assert one == other


async def test_at_most_once_work_of_a_winner_that_dies_is_in_doubt_and_never_awarded_again(place: MarketPlace) -> None:
    workers = await two(place, "at_most_once")
    call = place.start(0.5)
    await until(lambda: bool(begun(workers)))
    place.kill(begun(workers)[0])
    with pytest.raises(InDoubt) as caught:
        await call
    assert caught.value.detail["award"] == place.ledger.records[0].award
    assert len(place.ledger.records) == 1
    assert len(begun(workers)) == 1


async def test_an_award_that_certainly_reached_nobody_goes_to_another_even_if_at_most_once(place: MarketPlace) -> None:
    workers = await two(place, "at_most_once")
    await place.caller()
    for name in workers:
        place.server.cut(name, noticed=False)
    place.server.restore("b")
    contracted = await place.contract(0.0, rounds=10)
    assert contracted.winner.process == "b"
    assert sum(len(each.target.done) for each in workers.values()) == 1


async def test_a_winner_that_never_answers_is_probed_and_then_given_up(place: MarketPlace) -> None:
    workers = await two(place)
    frozen = freeze(place, "a")
    at = place.clock.monotonic()
    results = [await place.contract(0.0) for _ in range(4)]
    assert {each.winner.process for each in results} == {"b"}
    assert frozen, "nothing was ever sent to the frozen one"
    assert place.clock.monotonic() - at < 2.0
    assert workers["a"].target.begun == []


async def test_a_frozen_winner_of_at_most_once_work_leaves_it_in_doubt(place: MarketPlace) -> None:
    await place.worker("a", effect="at_most_once")
    await place.caller()
    freeze(place, "a")
    with pytest.raises(InDoubt):
        await place.contract(0.0)


async def test_a_lost_award_reaches_its_winner_by_the_probe(place: MarketPlace) -> None:
    worker = await place.worker("a")
    await place.caller()
    place.server.faults.drop("mesh.default.rpc.a.>")
    await place.contract(0.0)
    assert len(worker.target.done) == 1
    assert len(place.ledger.records) == 1, "the same award, sent again"


async def test_a_lost_result_is_fetched_by_the_probe_and_the_work_not_done_again(place: MarketPlace) -> None:
    worker = await place.worker("a", effect="at_most_once")
    await place.caller()
    place.server.faults.drop("mesh.default.rep.client.a.>")
    contracted = await place.contract(0.0)
    assert msgspec.json.decode(contracted.content) == "a"
    assert len(worker.target.done) == 1


async def test_a_result_lost_after_the_confirm_is_fetched_when_the_winner_is_checked_on(place: MarketPlace) -> None:
    worker = await place.worker("a")
    call = place.start(0.1, timeout=30.0)
    await until(lambda: "confirm" in place.seen)
    place.server.faults.drop("mesh.default.rep.client.a.>")
    await call
    assert len(worker.target.done) == 1


async def test_when_every_winner_is_lost_the_caller_is_told_so(place: MarketPlace) -> None:
    workers = await two(place)
    call = place.start(1.0)
    await until(lambda: bool(begun(workers)))
    for name in workers:
        place.kill(name)
    with pytest.raises(AgentLost):
        await call


async def test_the_deadline_ends_everything_and_stops_the_work(place: MarketPlace) -> None:
    worker = await place.worker("a")
    at = place.clock.monotonic()
    with pytest.raises(DeadlineExceeded):
        await place.contract(10.0, timeout=0.5)
    assert place.clock.monotonic() - at == pytest.approx(0.5, abs=0.1)
    await until(lambda: worker.running == 0)
    assert worker.target.done == []


async def test_the_deadline_leaves_at_most_once_work_in_doubt(place: MarketPlace) -> None:
    await place.worker("a", effect="at_most_once")
    await place.caller()
    freeze(place, "a")
    with pytest.raises(InDoubt):
        await place.contract(0.0, timeout=0.3)


async def test_a_late_result_of_a_winner_given_up_is_evidence_and_not_applied(place: MarketPlace) -> None:
    workers = await two(place)
    held = freeze(place, "a")
    while not held:
        await place.contract(0.0)
    place.server.faults.filter = None
    peer = place._peers["a"]
    for message in held:
        if b'"accept-proposal"' in message.data:
            peer.bus.publish(message.subject, message.data, reply=message.reply)
    await until(lambda: bool(place.told("award.evidence")))
    assert len(workers["a"].target.done) == 1
    assert place.told("award.evidence")[0]["by"] == "a"


async def test_a_loser_of_the_race_is_told_to_stop(place: MarketPlace) -> None:
    """The frozen winner wakes up: behind the award it finds the cancel."""
    await two(place)
    held = freeze(place, "a")
    while not held:
        await place.contract(0.0)
    names = [msgspec.json.decode(each.data)["name"] for each in held]
    assert names[0] == "accept-proposal"
    assert names[-1] == "cancel"


async def test_an_instance_that_breaks_its_commitments_gets_less_work(place: MarketPlace) -> None:
    await two(place)
    caller = await place.caller()
    held = freeze(place, "a")
    while not held:
        await place.contract(0.0)
    blamed = caller.market.learned("do", Bidder("a.worker.a", "worker", "1.0.0"))
    other = caller.market.learned("do", Bidder("b.worker.b", "worker", "1.0.0"))
    assert blamed is not None
    assert blamed.reputation < (other.reputation if other else 1.0)


async def test_cancelling_the_caller_cancels_the_work(place: MarketPlace) -> None:
    worker = await place.worker("a")
    call = place.start(5.0, timeout=30.0)
    await until(lambda: bool(worker.target.begun))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: worker.running == 0)
    assert worker.target.done == []


async def test_the_death_of_the_only_candidate_before_the_award_is_no_bids_and_not_a_wait(place: MarketPlace) -> None:
    await place.worker("a")
    await place.caller()
    place.kill("a")
    with pytest.raises((NoBids, AgentLost)):
        await place.contract(0.0)
    assert place.clock.monotonic() < 2.0


def freeze(place: MarketPlace, process: str) -> list[Message]:
    """From now on nothing reaches this process, and nobody is told: as by SIGSTOP. Answers with what is held back."""
    held: list[Message] = []
    prefix = f"mesh.default.rpc.{process}."

    def passes(message: Message) -> bool:
        if message.subject.startswith(prefix):
            held.append(message)
            return False
        return True

    place.server.faults.filter = passes
    return held


async def test_who_has_handed_the_work_over_decides_nothing_more(place: MarketPlace) -> None:
    """Somebody else takes the award up: what is still heard of its winner is nothing that is awarded again here."""
    place.quietly = False
    workers = await two(place, "idempotent")
    caller = await place.caller()
    call = place.call(payload=60.0, timeout=90.0)
    left = asyncio.ensure_future(caller.contract(call, ledger=place.ledger, hands_over=lambda: True))
    await until(lambda: bool(begun(workers)))
    [first], [negotiation] = begun(workers), caller.watching.everybody()
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    negotiation.event(Suspected(first))
    place.kill(first)
    await place.clock.sleep(30.0)
    assert begun(workers) == [first]
    assert caller.watching.everybody() == []


async def test_work_that_takes_long_is_asked_after_without_end_and_waited_for_in_few_places(place: MarketPlace) -> None:
    """Each copy of an award is answered to a token of its own; those of an hour were kept until the call was over."""
    await place.worker("a")
    caller = await place.caller()
    call = place.start(600.0, timeout=1000.0)
    await place.clock.sleep(550.0)
    assert place.seen.count("accept-proposal") > 100
    assert len(caller.peer.exchange._waiting) <= COPIES + 1
    assert (await call).winner.process == "a"
    assert not caller.peer.exchange._waiting
