"""An award that goes well makes no auction; whatever else happens, the auction goes on as if it had been there all along."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.contract_net import initiator
from mesh.contract_net.negotiation import Negotiation
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Bid, Mode, Refusal
from mesh.protocols.auction import Auction
from mesh.protocols.awards import Candidate
from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import Cancelled, NoBids
from mesh.protocols.learned import Learned
from mesh.protocols.newcomers import admitted
from mesh.protocols.ports import Clock, Ids
from mesh.protocols.scoring import cost, score
from mesh.protocols.selection import Offer, SelectionPolicy, best, choose, explain, rank
from tests.contract_net.market_place import MarketPlace, until

POLICY, ANY = SelectionPolicy(), Constraints()
bids = st.builds(
    Bid,
    price=st.floats(0, 0.1),
    latency=st.floats(0, 20),
    success=st.floats(0, 1),
    capacity=st.integers(0, 2),
)


@pytest.fixture
async def place(clock: Clock, ids: Ids) -> AsyncIterator[MarketPlace]:
    place = MarketPlace(clock, ids, quietly=True)
    yield place
    await place.leave()


@pytest.fixture
def auctions(monkeypatch: pytest.MonkeyPatch) -> list[Negotiation]:
    """Every auction that is made."""
    made: list[Negotiation] = []

    class Noted(Negotiation):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(initiator, "Negotiation", Noted)
    return made


@pytest.mark.virtual
async def test_losers_of_calls_that_end_together_are_told_in_one_message_a_process(place: MarketPlace) -> None:
    for process in ("a", "b"):
        await place.worker(process, capacity=8)
    await asyncio.gather(*(place.contract(0.0, mode="directed") for _ in range(4)))
    await until(lambda: not any(each.book.bids._by_seat for each in place.participants.values()))
    assert place.seen.count("propose") == 8
    assert place.seen.count("reject-proposal") <= 2, "whoever lost several calls hears of them at once"


@pytest.mark.virtual
async def test_of_many_awards_those_that_take_longer_are_confirmed_each_in_its_time(place: MarketPlace) -> None:
    await place.worker("a", capacity=8)
    await place.contract(0.0)
    calls = [place.start(seconds) for seconds in (0.0, 0.05, 0.01, 0.3)]
    await asyncio.sleep(0.015)
    late = place.start(0.03)
    assert place.seen.count("confirm") == 0
    await asyncio.sleep(0.01)
    assert place.seen.count("confirm") == 2, "two are not ready after 20 ms; the late one is not due yet"
    await asyncio.gather(*calls, late)
    assert place.seen.count("confirm") == 3


@pytest.mark.virtual
@pytest.mark.parametrize("mode", ["standing", "directed"])
async def test_what_goes_well_needs_no_auction(place: MarketPlace, auctions: list[Negotiation], mode: Mode) -> None:
    workers = [await place.worker(name) for name in "abc"]
    contracted = await place.contract(0.0, mode=mode)
    assert msgspec.json.decode(contracted.content) == contracted.winner.process
    assert contracted.award.mode == mode
    assert len(contracted.award.candidates) == 3
    assert contracted.award == place.ledger.records[0]
    assert len(place.executed(*workers)) == 1
    assert auctions == []
    await until(lambda: all(each.book.bids._by_seat == {} for each in place.participants.values()))


@pytest.mark.virtual
@pytest.mark.parametrize("mode", ["standing", "directed"])
async def test_long_work_confirms_and_is_then_an_auction_s(
    place: MarketPlace, auctions: list[Negotiation], mode: Mode
) -> None:
    for name in "abc":
        await place.worker(name)
    await place.contract(1.0, mode=mode)
    assert [each.auction.state for each in auctions] == ["done"]
    assert len(place.ledger.records) == 1


@pytest.mark.virtual
@pytest.mark.parametrize("mode", ["standing", "directed"])
async def test_a_caller_who_goes_away_has_the_work_stopped(place: MarketPlace, mode: Mode) -> None:
    worker = await place.worker("a")
    work = place.start(60.0, mode=mode, timeout=100.0)
    await until(lambda: bool(worker.target.begun))
    work.cancel()
    await until(lambda: "cancel" in place.seen)
    await until(lambda: worker.running == 0)
    with pytest.raises(asyncio.CancelledError):
        await work


@pytest.mark.virtual
async def test_a_caller_who_goes_away_while_bids_are_awaited_frees_the_bidders(place: MarketPlace) -> None:
    await place.worker("a")
    await place.worker("b")
    caller = await place.caller()
    place.server.faults.filter = lambda message: (
        b'"name":"propose"' not in message.data or b'"process":"a"' in message.data
    )
    work = asyncio.ensure_future(caller.contract(place.call(mode="directed")))
    await until(lambda: sum(len(each.book.bids._by_seat) for each in place.participants.values()) == 2)
    await place.clock.sleep(0.05)
    work.cancel()
    with pytest.raises((asyncio.CancelledError, Cancelled)):
        await work
    await until(lambda: not place.participants["a"].book.bids._by_seat)


@pytest.mark.virtual
async def test_who_does_not_answer_a_directed_call_is_not_waited_for_beyond_the_window(
    place: MarketPlace, auctions: list[Negotiation]
) -> None:
    await place.worker("a")
    await place.worker("b")
    caller = await place.caller()
    place.server.faults.filter = lambda message: not (b'"name":"propose"' in message.data and b'"b"' in message.data)
    started = place.clock.monotonic()
    contracted = await caller.contract(place.call(mode="directed"))
    assert contracted.winner.process == "a"
    assert place.clock.monotonic() - started < 0.3
    assert len(auctions) == 1


@pytest.mark.virtual
async def test_if_all_who_are_asked_refuse_the_caller_learns_why(place: MarketPlace) -> None:
    await place.worker("a")
    caller = await place.caller()
    demand = Constraints(labels={"gpu": "yes"})
    with pytest.raises(NoBids) as caught:
        await caller.contract(place.call(mode="directed", constraints=demand))
    assert "labels" in caught.value.detail["refusals"][0]


def candidates(offers: list[Bid], proposal: str, beliefs: Sequence[Learned | None] = ()) -> list[Candidate]:
    return [
        Candidate(
            agent="w", instance=str(index), process=str(index), bid=each, proposal=proposal,
            learned=beliefs[index] if beliefs else None,
        )
        for index, each in enumerate(offers)
    ]  # fmt: skip


learned = st.none() | st.builds(
    Learned,
    latency=st.floats(0.1, 9),
    price=st.floats(0.1, 9),
    charge=st.floats(0, 1),
    success=st.floats(0, 2),
    reputation=st.floats(0, 1),
    calls=st.floats(0, 50),
    newcomer=st.booleans(),
)


@given(st.lists(st.tuples(bids, learned), max_size=6), st.floats(0.1, 30), st.integers(0, 9))
def test_the_quick_choice_is_the_one_that_is_explained(
    given_: list[tuple[Bid, Learned | None]], remaining: float, seed: int
) -> None:
    made = [Offer(bid, {}, learned=known) for bid, known in given_]
    standing = candidates([bid for bid, _ in given_], "", [known for _, known in given_])
    ranked, explored = admitted(rank(made, ANY, remaining, POLICY), made, POLICY, Random(seed))
    if not ranked:
        assert choose(standing, ANY, remaining, POLICY, Random(seed)).winner is None
        return
    for _, place in ranked[:2]:
        told = explain(standing, f"{place}.w.{place}", ANY, remaining, POLICY, Random(seed), explored=explored)
        assert told.winner is not None
        assert told.winner.instance == str(place)
        assert told.explored == explored
        assert told.winner.score is not None
        assert told.winner.score.total == next(cost for cost, where in ranked if where == place)


@given(st.lists(bids, max_size=6), st.floats(0.1, 30), st.integers(0, 9))
def test_the_quick_ranking_is_the_one_that_choices_are_explained_with(
    offers: list[Bid], remaining: float, seed: int
) -> None:
    ranked = rank([Offer(each, {}) for each in offers], ANY, remaining, POLICY)
    choice = choose(candidates(offers, "p"), ANY, remaining, POLICY, Random(seed))
    assert {place for _, place in ranked} == {
        index for index, each in enumerate(choice.candidates) if not each.rejected_because
    }
    assert all(each == score(candidates(offers, "")[place], POLICY).total for each, place in ranked)
    assert all(each == cost(offers[place], POLICY) for each, place in ranked)
    if ranked:
        place = best(ranked, POLICY, Random(seed))
        told = explain(candidates(offers, "p"), f"{place}.w.{place}", ANY, remaining, POLICY, Random(seed))
        assert told.winner is not None
        assert told.winner.instance == str(place)


def opened(standing: tuple[Candidate, ...]) -> tuple[Auction, m.Award]:
    terms = m.Terms(conversation="talk", capability="do", deadline=30.0, mode="standing")
    auction = Auction(terms, POLICY, Random(1), new_id=lambda: "talk.1", wall=lambda: 5.0)
    auction.open(0.0)
    [award] = auction.handle(m.Called(candidates=standing, known=9), 0.0)
    assert isinstance(award, m.Award)
    auction.handle(m.Sent("talk.1"), 0.0)
    return auction, award


def refusal(name: str) -> Refusal:
    return Refusal(agent="w", instance=name, reason="capacity", message="full")


@pytest.mark.parametrize(
    "happens", ["declined", "confirmed", "vanished", "suspected", "ticked", "cancelled", "faulted"]
)
def test_an_adopted_award_goes_on_as_one_that_the_auction_made(happens: str) -> None:
    standing = tuple(candidates([Bid(latency=1.0 + index) for index in range(3)], ""))
    auction, award = opened(standing)
    adopted = Auction(auction.terms, POLICY, Random(1), new_id=lambda: "talk.2", wall=lambda: 5.0)
    adopted.adopt(m.Called(candidates=standing, known=9), award.record, 0.0, 0.0)
    assert (adopted.state, adopted.due, adopted.record) == (auction.state, auction.due, auction.record)
    winner = award.winner
    event: m.Event = {
        "declined": m.Declined("talk.1", winner.process, refusal(winner.instance)),
        "confirmed": m.Confirmed("talk.1", winner.process),
        "vanished": m.Vanished("talk.1", 1),
        "suspected": m.Suspected(winner.process),
        "ticked": m.Ticked(),
        "cancelled": m.CancelAsked("enough"),
        "faulted": m.Faulted("talk.1", winner.process, NoBids("none").fault()),
    }[happens]
    mine, theirs = auction.handle(event, 0.25), adopted.handle(event, 0.25)
    assert [type(each) for each in mine] == [type(each) for each in theirs]
    assert (adopted.state, adopted.due, adopted.outcome) == (auction.state, auction.due, auction.outcome)
