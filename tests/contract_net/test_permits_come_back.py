"""However a trial call ends, it holds no permit afterwards: neither of the breaker before its instance nor of that of its version."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.actors.declaring.definition import Agent
from mesh.actors.declaring.handler import command
from mesh.actors.peer import Peer
from mesh.actors.running.context import Context
from mesh.protocols.ports import Clock, Ids
from mesh.resilience.breaker import Breaker, Permit
from mesh.resilience.quality_breaker import CONTRACT, QUALITY, QualityBreaker
from mesh.testing.virtual_time import until
from tests.contract_net.market_place import MarketPlace

OUTPUT = ("worker@1.0.0", "do")
OPEN = 40.0
"""Seconds after which both breakers let trial calls through."""


class Anything(Agent):
    """Does, declines, fails, or takes its time, as it is told."""

    name = "worker"

    @command(capability="do", effect="costly", timeout=5.0)
    async def do(self, ctx: Context, what: str) -> int:
        await asyncio.sleep({"slow": 3.0, "slower": 30.0}.get(what, 0.0))
        if what == "fail":
            raise RuntimeError("as it was told")
        return "no number" if what == "nonsense" else 1  # type: ignore[return-value]


def held(breaker: Breaker | None, now: float) -> int:
    """Trial calls that are under way as the breaker sees it."""
    return 0 if breaker is None else sum(each.until > now for each in breaker._trials)


def doubt(peer: Peer, key: str) -> None:
    """Both breakers are open, as after failures and outputs that did not fit."""
    for _ in range(5):
        peer.quality.misfits(OUTPUT)
    peer.breakers.of(key, "do", timeout=5.0).trip("it failed", peer.clock.monotonic())


async def ended(work: Awaitable[Any]) -> None:
    """However that is."""
    await asyncio.gather(work, return_exceptions=True)


async def streamed(peer: Peer, what: str, timeout: float) -> None:
    async for _ in peer.stream("worker", what, command="do", timeout=timeout):
        pass


WAYS: dict[str, Callable[[Peer, str, float], Awaitable[Any]]] = {
    "ask": lambda peer, what, timeout: peer.ask("worker", what, command="do", timeout=timeout, returns=int),
    "call": lambda peer, what, timeout: peer.call("do", what, timeout=timeout, returns=int),
    "asked first": lambda peer, what, timeout: peer.call("do", what, timeout=timeout, mode="directed", returns=int),
    "stream": streamed,
}
WORDS = ("well", "well", "slow", "slower", "fail", "nonsense", "x" * 2_000_000)


@pytest.fixture(params=[True, False], ids=["quietly", "by-auction"])
async def place(request: pytest.FixtureRequest, clock: Clock, ids: Ids) -> Any:
    place = MarketPlace(clock, ids, quietly=request.param)
    yield place
    await place.leave()


@pytest.mark.virtual
@pytest.mark.parametrize("way", WAYS)
async def test_however_a_trial_call_ends_it_holds_no_permit(place: MarketPlace, way: str) -> None:
    random, key = Random(way), "a.worker.a"
    await place.host(Anything, process="a", capacity=2)
    client, tried = await place.client(), 0
    breaker = client.breakers.of(key, "do", timeout=5.0)
    for _ in range(24):
        for each in (client.breakers.of(key, "do"), client.quality.of(*OUTPUT)):
            each.release(client.clock.monotonic())
        doubt(client, key)
        await client.clock.sleep(OPEN + 5.0)
        await until(lambda: client.directory.listing(key) is not None)
        work = [
            asyncio.ensure_future(ended(WAYS[way](client, random.choice(WORDS), random.choice((0.5, 5.0, 20.0)))))
            for _ in range(random.choice((1, 1, 2, 4)))
        ]
        await client.clock.sleep(random.choice((0.0, 0.001, 0.002, 0.003, 0.01, 1.0)))
        tried += held(breaker, client.clock.monotonic()) > 0
        match random.choice(("wait", "cancel", "cancel", "cut", "drop")):
            case "cancel":
                for each in work:
                    each.cancel()
            case "cut":
                place.server.cut("client", noticed=True)
            case "drop":
                place.server.faults.drop("mesh.default.rep.client.>", times=3)
        await asyncio.gather(*work, return_exceptions=True)
        now = client.clock.monotonic()
        assert held(breaker, now) == 0
        assert held(client.quality.find(*OUTPUT), now) == 0
        place.server.restore("client")
        await place.clock.sleep(3.0)
    assert tried > 5


@pytest.mark.virtual
async def test_an_award_that_is_declined_gives_its_permit_back_before_the_call_ends(place: MarketPlace) -> None:
    await place.host(Anything, process="a", capacity=1)
    client = await place.client()
    busy = [asyncio.ensure_future(client.call("do", "slow", timeout=20.0)) for _ in range(2)]
    await place.clock.sleep(1.0)
    doubt(client, "a.worker.a")
    await place.clock.sleep(1.5)
    late = asyncio.ensure_future(client.call("do", "well", timeout=20.0))
    await place.clock.sleep(0.3)
    assert not late.done()
    breaker = client.breakers.find("a.worker.a", "do")
    assert held(breaker, client.clock.monotonic()) == 0
    await asyncio.gather(*busy, late, return_exceptions=True)


@given(st.lists(st.sampled_from(["admit", "nothing", "fits", "misfits", "late"]), max_size=60))
def test_no_more_trials_are_held_than_outputs_are_awaited(schedule: list[str]) -> None:
    breaker, now, awaited = QualityBreaker(QUALITY, Random(1)), OPEN, list[Permit]()
    for _ in range(QUALITY.in_a_row):
        breaker.said(CONTRACT, passed=False, now=0.0)
    for each in schedule:
        if each == "admit" and breaker.would_admit(now):
            awaited.append(breaker.admit(now, now + 1000.0))
        elif each == "late":
            now += 100.0
        elif awaited and each != "admit":
            permit = awaited.pop(0)
            if each == "nothing":
                breaker.give_back(permit, now)
            else:
                breaker.said(CONTRACT, passed=each == "fits", now=now)
        if breaker.state != "half-open":
            awaited.clear()
        assert held(breaker, now) <= len(awaited)
