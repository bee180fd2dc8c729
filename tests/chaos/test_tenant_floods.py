"""One tenant asks for a hundred times as much as the others: calls, and jobs while those who take them in die."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from statistics import median, quantiles

import pytest

from mesh.client.mesh import Mesh
from mesh.testing.virtual_time import until
from tests.chaos.crowd import Crowd
from tests.chaos.evidence import Evidence
from tests.chaos.fleet import Fleet
from tests.chaos.plans import acts
from tests.chaos.scenario import Scenario
from tests.faults.expectations import joined, listed, soon
from tests.servers import RealServer

pytestmark = [pytest.mark.server, pytest.mark.fault]

QUIET = ("quiet-1", "quiet-2", "quiet-3")
CAPACITY, MAILBOX = 4, 256
LOUD = {"target": "target.do", "callers": 300, "timeout": 5.0, "pause": 0.2}
OVERTAKEN = 10 * CAPACITY
"""So much of the loud one's may be begun while a quiet one waits: far less than its whole backlog."""
PATIENCE = 60.0
OWNERS, PLACES = ("one", "two", "three"), 4
LOUD_JOB, QUIET_JOB = acts(2, ms=150), acts(2, ms=20)


async def test_28_one_tenant_floods_the_others(chaos: Scenario, server: RealServer, crowd: Crowd, mesh: Mesh) -> None:
    """one tenant calls 100 times as often as each of the others · theirs are all done, in their turn; p99 within twice (full form)"""
    rounds, calls = chaos.pick((1, 10), (3, 60))
    await crowd.start("target", capacity=CAPACITY, mailbox=MAILBOX)
    await crowd.start("loud", roles=("caller",), tenant="loud")
    crowd.mood("target", "slow")
    await listed(mesh, "target", agent="target")
    ratios, overtaken = [], []
    async with AsyncExitStack() as stack:
        quiet = [await stack.enter_async_context(joined(server.url, each, tenant=each)) for each in QUIET]
        for each in quiet:
            await listed(each, "target", agent="target")
        for _ in range(rounds):
            alone = await _call(quiet, calls)
            await soon(lambda: mesh.ask("caller.loud", LOUD, command="begin"))
            await until(lambda: _waiting(mesh) >= MAILBOX // 2, timeout=PATIENCE)
            flooded = await _call(quiet, calls)
            await soon(lambda: mesh.ask("caller.loud", command="end"), PATIENCE)
            overtaken += [_begun_between(crowd, since, to) for since, to in flooded]
            ratios.append(_p99(flooded) / _p99(alone))
            await until(lambda: _waiting(mesh) == 0, timeout=PATIENCE)
    overtaken.sort()
    in_time = chaos.pick(1, 3)
    assert overtaken[len(overtaken) * in_time // 4] <= OVERTAKEN, (
        f"{overtaken}: {4 - in_time} in four may have met a machine that stood still"
    )
    assert chaos.size == "quick" or min(ratios) <= 2.0, ratios
    held = f"at most {max(overtaken)} (median {median(overtaken):g}) of the loud one's before one of theirs"
    chaos.note(
        f"{len(overtaken)} calls of {len(QUIET)} tenants beside {LOUD['callers']} callers of one",
        f"{held}; p99 × {', '.join(f'{each:.2f}' for each in ratios)}",
        "–",
    )


async def _call(quiet: list[Mesh], calls: int) -> list[tuple[float, float]]:
    """So many calls of each, one after the other; when each began and ended (Unix seconds). None may fail."""

    async def one(caller: Mesh) -> list[tuple[float, float]]:
        times = []
        for _ in range(calls):
            began = time.time()
            await caller.ask("target.do", timeout=PATIENCE)
            times.append((began, time.time()))
            await asyncio.sleep(0.05)
        return times

    return [each for several in await asyncio.gather(*map(one, quiet)) for each in several]


def _begun_between(crowd: Crowd, since: float, to: float) -> int:
    """How much of the loud one's work the target began in this time."""
    lines = crowd.books("target").read("do", since=since)
    return sum(1 for each in lines if each.sign == "+" and each.caller == "loud" and each.at <= to)


async def test_34_who_lets_a_tenant_past_a_flood_is_killed(
    chaos: Scenario, server: RealServer, fleet: Fleet, mesh: Mesh
) -> None:
    """kill -9 owners that let a tenant's jobs past another's in the ingress · none is lost or done twice, and they are let past"""
    rounds, flood, quiet, kills = chaos.pick((1, 120, 6, 3), (8, 400, 40, 12))
    await fleet.start(*OWNERS, at_once=PLACES)
    overtaken = []
    async with fleet.raised_again(*OWNERS):
        for _ in range(rounds):
            loud = await fleet.publish(mesh, flood, LOUD_JOB, tenant="loud")
            killing = asyncio.ensure_future(_kill(chaos, fleet, kills))
            theirs = await fleet.publish(mesh, quiet, QUIET_JOB, tenant="quiet")
            published = time.time()
            await killing
            await fleet.over(mesh, within=240)
            overtaken.append((loud, theirs, published))
    evidence = await chaos.conclude(
        fleet, server.url, f"{rounds * kills} owners killed, {flood} jobs of one tenant before {quiet} of another",
        "all done, each effect once",
    )  # fmt: skip
    before = [_begun_before_the_last(evidence, theirs, loud, since=published) for loud, theirs, published in overtaken]
    assert max(before) <= flood * 3 // 4, f"of {flood}, so many were begun before the last of the others': {before}"


async def _kill(chaos: Scenario, fleet: Fleet, kills: int) -> None:
    for _ in range(kills):
        await asyncio.sleep(chaos.chance.uniform(0.1, 0.5))
        if victims := fleet.living(*OWNERS):
            fleet.kill(chaos.chance.choice(victims))


def _begun_before_the_last(evidence: Evidence, theirs: list[str], loud: list[str], *, since: float) -> int:
    """How many of the loud one's jobs were taken in from then on, when all of these were there, and before the last of them."""
    last = max(evidence.journals[job][0].time for job in theirs)
    return sum(1 for job in loud if since < evidence.journals[job][0].time < last)


def _waiting(mesh: Mesh) -> int:
    return sum(each.figures.queue for each in mesh.directory.instances("target"))


def _p99(times: list[tuple[float, float]]) -> float:
    return quantiles([to - since for since, to in times], n=100)[-1]
