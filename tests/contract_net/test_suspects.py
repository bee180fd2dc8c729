"""A suspect gets no work from anybody until those whose breakers opened have tried it again, and trial calls do happen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.peer import Peer
from mesh.actors.running.actor import Actor
from mesh.actors.running.context import Context
from mesh.protocols.acts import Bid, CallForProposal
from mesh.protocols.artifacts import Verdict
from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Clock, Ids
from mesh.resilience.breakers import VOTE
from tests.contract_net.market_place import MarketPlace, until

pytestmark = pytest.mark.virtual

BAD = "bad.worker.bad"


@pytest.fixture
async def place(clock: Clock, ids: Ids) -> Any:
    place = MarketPlace(clock, ids)
    yield place
    await place.leave()


class Moody(Agent):
    """Fails while it is ill."""

    name = "worker"
    ill = False

    def __init__(self) -> None:
        self.served = 0

    async def on_start(self, ctx: object = None) -> None:
        """Nothing to do."""

    @command(capability="look", effect="pure", timeout=5.0)
    async def look(self, ctx: Context) -> str:
        return self.work(ctx)

    @command(capability="do", effect="costly", timeout=5.0)
    async def do(self, ctx: Context) -> str:
        return self.work(ctx)

    def work(self, ctx: Context) -> str:
        if ctx.process == "bad":
            SERVED.append(ctx.message.sender.process)
            if Moody.ill:
                raise RuntimeError("ill")
        return ctx.process


class Newer(Moody):
    version = "2.0.0"


SERVED: list[str] = []
"""Who had something done by the bad one."""


@pytest.fixture(autouse=True)
def _well() -> None:
    Moody.ill = False
    SERVED.clear()


async def crowd(place: MarketPlace, worker: type[Moody] = Moody) -> tuple[Actor, list[Peer]]:
    """A bad worker, a good one, and three callers that host something, so that their beats carry their votes."""
    bad = await place.host(worker, process="bad")
    await place.host(worker, process="good")
    peers = []
    for name in ("ann", "bob", "cat"):
        await place.host(place_holder(name), process=name)
        peers.append(await place.peer(name))
    return bad, peers


def place_holder(agent: str) -> Any:
    class Holder(Agent):
        name = agent

        @command
        async def nothing(self, ctx: Context) -> None:
            """Only there to be seen."""

    return Holder


async def fall_out(place: MarketPlace, peers: list[Peer], what: str) -> None:
    """Each of these asks the bad one, which is ill, until its breaker opens; everybody hears of it."""
    Moody.ill = True
    for peer in peers:
        for _ in range(3):
            with pytest.raises(MeshError):
                await peer.ask("worker.bad", command=what)
        assert not peer.breakers.allows(BAD, what)
    everybody = [await place.peer(name) for name in ("ann", "bob", "cat")]
    if len(peers) > 1:
        await until(lambda: all(suspect(peer) for peer in everybody), timeout=5)
    SERVED.clear()


def suspect(peer: Peer) -> bool:
    listing = peer.directory.listing(BAD)
    return listing is not None and listing.state == "suspect"


async def work(peer: Peer, way: str, what: str) -> str:
    result: str = await (peer.ask(what) if way == "ask" else peer.call(what))
    return result


@pytest.mark.parametrize("way", ["ask", "call"])
async def test_two_breakers_keep_everybody_away_until_both_have_found_it_well(place: MarketPlace, way: str) -> None:
    _, (ann, bob, cat) = await crowd(place)
    await fall_out(place, [ann, bob], "look")
    listing = cat.directory.listing(BAD)
    assert listing is not None
    assert listing.suspicion == "breakers of 2 processes (ann, bob) are open against it"
    for _ in range(20):
        assert await work(cat, way, "look") == "good"
    assert SERVED == []

    Moody.ill = False
    await asyncio.sleep(1.5)
    for _ in range(3):
        await work(ann, way, "look")
    assert SERVED == ["ann"] * 3, "its trial calls are made, and before anything else"
    await asyncio.sleep(2)
    assert not suspect(cat), "one voice is not several"
    for _ in range(3):
        await work(bob, way, "look")
    await asyncio.sleep(2)
    assert not ann.breakers.troubled
    assert not bob.breakers.troubled
    assert not cat.directory.listing(BAD).suspicion  # type: ignore[union-attr]


@pytest.mark.parametrize("way", ["ask", "call"])
async def test_trial_calls_that_fail_leave_it_a_suspect_and_come_more_seldom(place: MarketPlace, way: str) -> None:
    _, (ann, bob, cat) = await crowd(place)
    await fall_out(place, [ann, bob], "look")
    for _ in range(40):
        for peer in (ann, bob, cat):
            with pytest.MonkeyPatch.context():
                try:
                    await work(peer, way, "look")
                except MeshError:
                    assert peer is not cat
        await asyncio.sleep(0.5)
    assert suspect(cat)
    assert "cat" not in SERVED
    assert 4 <= len(SERVED) <= 12, "after 1, 2, 4 and 8 seconds, each"


async def test_trial_calls_are_made_of_work_that_may_be_repeated_if_there_is_any(place: MarketPlace) -> None:
    _, (ann, *_) = await crowd(place)
    await fall_out(place, [ann], "do")
    Moody.ill = False
    await asyncio.sleep(1.5)
    for _ in range(10):
        assert await ann.call("do") == "good", "it costs: let something cheaper go first"
    told: list[str] = []
    place.telemetry.add(lambda event, at, fields: told.append(fields["reason"]) if event == "award.sent" else None)
    assert await ann.call("do", effect="pure") == "bad"
    assert [reason.partition(":")[0] for reason in told] == ["a trial call"]
    await asyncio.sleep(5)
    assert await ann.call("do") == "bad", "but not for ever"


async def test_the_only_one_is_used_all_the_same(place: MarketPlace) -> None:
    _, (ann, bob, cat) = await crowd(place)
    await fall_out(place, [ann, bob], "look")
    Moody.ill = False
    await place.stop("good")
    await until(lambda: cat.directory.listing("good.worker.good") is None)
    assert await cat.ask("look") == "bad"
    assert await cat.call("look") == "bad"


async def test_votes_of_those_who_do_not_call_any_more_lapse(place: MarketPlace) -> None:
    _, (ann, bob, cat) = await crowd(place)
    await fall_out(place, [ann, bob], "look")
    Moody.ill = False
    await asyncio.sleep(VOTE + 15)
    assert not suspect(cat)
    assert {await work(cat, "ask", "look") for _ in range(50)} == {"good", "bad"}


class Proud(Moody):
    """Bids the same however it fares, so that no bid tells the bad one from the good."""

    @command(capability="look", effect="pure", timeout=5.0)
    async def look(self, ctx: Context) -> str:
        return self.work(ctx)

    @look.bid
    def boast(self, call: CallForProposal, computed: Bid) -> Bid:
        return Bid(latency=0.01, capacity=computed.capacity)


async def test_a_call_for_proposals_to_everybody_passes_over_suspects(place: MarketPlace) -> None:
    _, (ann, bob, cat) = await crowd(place, Proud)
    assert {await cat.call("look", mode="broadcast") for _ in range(20)} == {"bad", "good"}
    await fall_out(place, [ann, bob], "look")
    assert {await cat.call("look", mode="broadcast") for _ in range(10)} == {"good"}
    assert {await cat.call("look", mode="directed") for _ in range(10)} == {"good"}


async def test_an_award_that_its_winner_lets_expire_counts_against_it(place: MarketPlace) -> None:
    sleeper = await place.worker("bed", effect="pure")
    caller = await place.client()
    for seconds in (5.0, 5.0, 1.0):
        with pytest.raises(MeshError):
            await caller.call("do", 100.0, timeout=seconds)
    (row,) = caller.breakers.rows()
    assert (row.target, row.calls, row.failed) == (f"bed.{sleeper.key}", 2, 2), "it had no time in the third"


async def test_nothing_is_lost_of_the_permits_when_callers_go_away(place: MarketPlace) -> None:
    """Cancelled trial calls give their permits back."""
    _, (ann, *_) = await crowd(place)
    await fall_out(place, [ann], "look")
    Moody.ill = False
    await asyncio.sleep(1.5)
    for _ in range(10):
        task = asyncio.ensure_future(ann.call("look"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    for _ in range(6):
        await ann.call("look")
    assert not ann.breakers.troubled


async def test_a_version_with_bad_outputs_is_passed_over_and_another_is_not(place: MarketPlace) -> None:
    await place.host(Moody, process="old")
    await place.host(Newer, process="new")
    caller = await place.client()
    for _ in range(5):
        caller.report(
            Verdict(gate="facts", result="fail", by="checker"), agent="worker", version="2.0.0", capability="look"
        )
    assert {await caller.ask("look") for _ in range(10)} == {"old"}
    assert {await caller.call("look") for _ in range(10)} == {"old"}
    (row,) = [row for row in caller.quality.rows() if row.state == "open"]
    assert (row.kind, row.target, row.capability) == ("quality", "worker@2.0.0", "look")

    await asyncio.sleep(40)
    assert {await caller.ask("look") for _ in range(3)} == {"new"}, "trial outputs"
    for _ in range(3):
        caller.report(
            Verdict(gate="facts", result="pass", by="checker"), agent="worker", version="2.0.0", capability="look"
        )
    assert not caller.quality.troubled


async def test_a_version_that_several_found_wanting_is_passed_over_by_everybody(place: MarketPlace) -> None:
    _, (ann, bob, cat) = await crowd(place)
    await place.host(Newer, process="new")
    for peer in (ann, bob):
        for _ in range(5):
            peer.report(
                Verdict(gate="facts", result="fail", by="checker"), agent="worker", version="2.0.0", capability="look"
            )
    await until(lambda: "worker@2.0.0 look" in cat.directory.poor, timeout=5)
    for _ in range(10):
        assert await cat.ask("look") != "new"
        assert await cat.call("look") != "new"
    await place.stop("new")
    await place.host(Newer, process="newest")
    for _ in range(10):
        assert await cat.call("look") != "newest", "it is about the version, whoever runs it"


async def test_a_reply_that_does_not_fit_what_the_caller_wants_is_a_verdict(place: MarketPlace) -> None:
    await place.host(Moody, process="old")
    caller = await place.client()
    for ask in (lambda: caller.ask("look", returns=int), lambda: caller.call("look", returns=int)):
        for _ in range(2):
            with pytest.raises(MeshError):
                await ask()
    assert await caller.ask("look", returns=str) == "old"
    (row,) = caller.quality.rows()
    assert (row.target, row.calls, row.failed) == ("worker@1.0.0", 5, 4)
