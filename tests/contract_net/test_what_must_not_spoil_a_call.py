"""One bidder's nonsense, an object store that is away, a chooser that raises: what it costs, and whom."""

from __future__ import annotations

import asyncio
import math
import sys
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.exchanging.inbound import Inbound
from mesh.actors.running.context import Context
from mesh.contract_net.composing import content_of
from mesh.contract_net.initiator import Initiator
from mesh.contract_net.quiet_call import Asked, QuietCall
from mesh.contract_net.track_record import Bidder, TrackRecord
from mesh.protocols.acts import Bid, CallForProposal, Mode, Proposal, Propose
from mesh.protocols.commitment import Asker
from mesh.protocols.conduct import GRAIN
from mesh.protocols.constraints import Constraints
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import NoBids, Unavailable
from mesh.protocols.ports import Clock, Ids
from mesh.protocols.references import LIMIT
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace, Worker

pytestmark = pytest.mark.virtual


class Reader(Agent):
    """Takes a long text, and gives one back when it may."""

    name = "reader"

    def __init__(self) -> None:
        self.begun = 0
        self.may = asyncio.Event()

    @command(capability="read", effect="costly")
    async def read(self, text: str) -> str:
        self.begun += 1
        await self.may.wait()
        return text


@pytest.mark.parametrize("mode", ["directed", "broadcast"])
async def test_a_bidder_whose_answer_nobody_can_read_is_as_one_that_does_not_bid(
    place: MarketPlace, mode: Mode
) -> None:
    for name in ("a", "b"):
        await place.worker(name)
    bad = await place.peer("a")

    def garbled(inbound: Inbound) -> None:
        bad.bus.publish(bad.subjects.reply("client", "a", inbound.token), b"\x00 what is this")

    bad.on_act = garbled
    await place.caller()
    at = place.clock.monotonic()
    contracted = await place.contract(0.0, mode=mode)
    assert contracted.winner.process == "b"
    if mode == "directed":
        assert place.clock.monotonic() - at < 0.1, "it has answered: nobody waits for another answer"


@pytest.mark.parametrize("mode", ["directed", "broadcast"])
async def test_a_bidder_whose_large_answer_cannot_be_fetched_is_as_one_that_does_not_bid(
    place: MarketPlace, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.worker("a", labels={"story": "x" * LIMIT})
    await place.worker("b")
    caller = await place.caller()
    monkeypatch.setattr(caller.peer.payloads, "whole", _away)
    contracted = await place.contract(0.0, mode=mode)
    assert contracted.winner.process == "b"


async def test_a_large_result_that_cannot_be_fetched_now_is_fetched_later_and_the_work_not_done_again(
    place: MarketPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = await place.host(Reader, process="a")
    caller = await place.caller()
    whole, fetched = caller.peer.payloads.whole, list[str]()

    async def once_away(envelope: Envelope) -> Envelope:
        fetched.append(envelope.name)
        return await (_away(envelope) if len(fetched) == 1 else whole(envelope))

    monkeypatch.setattr(caller.peer.payloads, "whole", once_away)
    reader.target.may.set()
    contracted = await place.contract("x" * LIMIT, capability="read", timeout=30.0)
    assert msgspec.json.decode(contracted.content) == "x" * LIMIT
    assert fetched == ["inform-result", "inform-result"]
    assert reader.target.begun == 1


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_copy_of_a_large_award_that_cannot_leave_is_as_one_that_is_not_answered(
    place: MarketPlace, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    """As after a reconnect, when the object store is not back yet."""
    reader = await place.host(Reader, process="a")
    caller = await place.caller()
    call = place.start("x" * LIMIT, capability="read", timeout=30.0)
    await until(lambda: "confirm" in place.seen)
    with monkeypatch.context() as away:
        away.setattr(caller.peer.payloads, "by_reference", _silent if hangs else _away)
        caller._reconnected()
        await place.clock.sleep(0.1)
    reader.target.may.set()
    at = place.clock.monotonic()
    await call
    assert place.clock.monotonic() - at < 0.1, "nobody waits for the copy to leave"
    assert reader.target.begun == 1


async def test_what_a_chooser_raises_its_caller_gets(place: MarketPlace) -> None:
    for name in ("a", "b"):
        await place.worker(name)

    def broken(*given: Any, **more: Any) -> Any:
        raise RuntimeError("my own choice")

    initiator = Initiator((await place.caller()).peer, chooser=broken)
    for mode in ("directed", "broadcast", "standing"):
        with pytest.raises(RuntimeError, match="my own choice"):
            async with asyncio.timeout(1.0):
                await initiator.contract(place.call(payload=0.0, mode=mode))


async def test_a_call_that_is_cancelled_as_its_last_proposal_comes_awards_nothing(
    clock: Clock, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = MarketPlace(clock, ids)
    workers = [await place.worker(name) for name in ("a", "b")]
    caller = await place.caller()
    call = asyncio.ensure_future(caller.contract(place.call(payload=0.0, mode="directed")))
    heard = QuietCall.heard

    def heard_and_left(self: QuietCall, asked: Asked) -> None:
        heard(self, asked)
        if not self._waiting:
            call.cancel()

    monkeypatch.setattr(QuietCall, "heard", heard_and_left)
    with pytest.raises(asyncio.CancelledError):
        await call
    await clock.sleep(0.1)
    assert "accept-proposal" not in place.seen
    assert [each.target.begun for each in workers] == [[], []]
    assert [place.participants[each].book.bids.count(f"worker.{each}", clock.monotonic()) for each in "ab"] == [0, 0]
    await place.leave()


async def _away(envelope: Envelope) -> Envelope:
    raise Unavailable("the object store is away")


async def _silent(envelope: Envelope) -> Envelope:
    return await asyncio.get_running_loop().create_future()


NONSENSE: list[dict[str, Any]] = [
    {"latency": -1.0}, {"price": -0.5}, {"success": 1.5}, {"latency": math.nan}, {"price": sys.float_info.max},
    {"price": "0.5"}, {"price": Decimal("0.5")}, {"latency": None}, {"capacity": 2.5}, {"queue": object()},
]  # fmt: skip
"""Nothing keeps an agent's own code from filling in the wrong types: nobody could read its whole process's heartbeats then."""


@pytest.mark.parametrize("nonsense", [Bid(**each) for each in NONSENSE], ids=[str(list(each)) for each in NONSENSE])
async def test_a_bid_that_makes_no_sense_is_told_its_author_and_takes_no_award(
    place: MarketPlace, nonsense: Bid
) -> None:
    class Dreamer(Worker):
        name = "dreamer"

        @command(capability="do", effect="costly")
        async def do(self, ctx: Context, seconds: float | None) -> str:
            return await self.work(ctx, seconds)

        @do.bid
        def offer(self, call: CallForProposal, computed: Bid) -> Bid:
            return nonsense

    await place.host(Dreamer, process="a")
    await place.worker("b")
    await place.clock.sleep(1.5)
    for mode in ("standing", "directed", "broadcast") * 2:
        assert (await place.contract(0.0, mode=mode)).winner.process == "b"
    assert place.told("message.refused")[0]["what"] == "bid-hook-failed"


def test_what_a_stranger_bids_below_nothing_spoils_no_record() -> None:
    record = TrackRecord()
    for bid in (Bid(latency=-1.0), Bid(latency=-GRAIN)):
        record.delivered(Bidder("p.a.1", "a", "1"), "do", bid, 0.0, 1.0)
    assert record.about("do", 0.0)["a", "1"].calls == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("told", [-1000.0, 1e-9])
async def test_who_says_to_come_back_at_once_or_before_is_not_asked_without_a_pause(
    place: MarketPlace, told: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.worker("a")
    bids = place.participants["a"].bids
    monkeypatch.setattr(bids, "retry_after", lambda *given: told)
    busy = [place.start(30.0, timeout=60.0) for _ in range(2)]
    await until(lambda: place.seen.count("confirm") == 2)
    place.seen.clear()
    at = place.clock.monotonic()
    with pytest.raises(NoBids, match="capacity"):
        await place.contract(0.0, timeout=20.0, mode="directed")
    assert place.seen.count("call-for-proposal") <= 500
    assert place.clock.monotonic() - at < 10.0
    for each in busy:
        each.cancel()
    await asyncio.gather(*busy, return_exceptions=True)


@pytest.mark.parametrize("mode", ["directed", "broadcast"])
async def test_nobody_bids_for_another_process(place: MarketPlace, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        await place.worker(name)
    caller, liar, learned = await place.caller(), place.participants["a"], list[Bid]()
    honest = next(each for each in caller.peer.directory.lookup("do") if each.process == "b")

    def lies(inbound: Inbound) -> None:
        agent, instance = honest.agent, honest.record.instance
        theirs = Proposal(id="x", agent=agent, instance=instance, process="b", version="1", bid=Bid(price=99.0))
        content = Propose(conversation=content_of(inbound.envelope).conversation, proposals=(theirs,))
        liar.telling.say(inbound.envelope, Asker(inbound.sender, inbound.token), content)

    monkeypatch.setattr(liar, "_propose", lambda inbound, act, seats: lies(inbound))
    monkeypatch.setattr(caller.market, "learn", lambda key, capability, bid: learned.append(bid))
    assert (await place.contract(0.0, mode=mode)).winner.process == "b"
    assert learned
    assert all(each.price == 0.0 for each in learned)


class Shy(Agent):
    """Bids for `sing` only when somebody asks."""

    name = "shy"

    @command(capability="do")
    async def do(self, seconds: float) -> str:
        return "done"

    @command(capability="sing")
    async def sing(self, seconds: float) -> str:
        return "sung"

    @sing.bid
    def offer(self, call: CallForProposal, computed: Bid) -> Bid | None:
        return computed if call.conversation else None


async def test_a_bid_for_one_capability_does_not_stand_in_place_of_another(place: MarketPlace) -> None:
    await place.host(Shy, process="a")
    caller = await place.caller()
    [listing] = caller.peer.directory.lookup("do")
    await until(lambda: "do" in listing.figures.bids)
    await place.contract(0.0, capability="sing", mode="broadcast")
    assert "do" in listing.figures.bids


async def test_who_bids_less_than_nothing_is_not_asked_before_everybody_else(place: MarketPlace) -> None:
    """A stranger's heartbeat may say so: as the cheapest of all it would be asked each time, and nobody who means it."""
    for name in "abcd":
        await place.worker(name)
    caller = await place.caller()
    for listing in caller.peer.directory.lookup("do"):
        if listing.process != "d":
            caller.peer.directory.learn(listing.key, Bid(price=-1e9), "do")
    asked, known = caller.market.directed("do", Constraints(), caller.policy)
    assert next(iter(asked)) == "d"
    assert known == 4


@pytest.mark.parametrize("mode", ["directed", "broadcast"])
@pytest.mark.parametrize("name", ["a.b", "*", "", "one two"])
async def test_a_proposal_of_somebody_who_cannot_be_written_to_is_none(
    place: MarketPlace, mode: Mode, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in ("a", "b"):
        await place.worker(each)
    odd = place.participants["a"]

    def propose(inbound: Inbound, act: CallForProposal, seats: object) -> None:
        proposal = Proposal(id="x", agent="worker", instance=name, process="a", version="1", bid=Bid(capacity=9))
        content = Propose(conversation=act.conversation, proposals=(proposal,))
        odd.telling.say(inbound.envelope, Asker(inbound.sender, inbound.token), content)

    monkeypatch.setattr(odd, "_propose", propose)
    assert (await place.contract(0.0, mode=mode)).winner.process == "b"
