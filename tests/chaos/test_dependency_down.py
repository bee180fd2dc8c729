"""What everybody depends on is down, or has too much to do, and everybody calls it all the same."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from mesh.client.mesh import Mesh
from mesh.resilience.breaker import BreakerPolicy
from mesh.testing.virtual_time import until
from tests.chaos.books import Line, most_at_once, running
from tests.chaos.callers import Tallied, fresh
from tests.chaos.crowd import Crowd
from tests.chaos.report import spread
from tests.chaos.scenario import Scenario
from tests.chaos.station import Mood
from tests.chaos.tap import Tap
from tests.faults.expectations import listed, passes, soon

pytestmark = [pytest.mark.server, pytest.mark.fault]

CALLERS = 1000
TIMEOUT = 1.0
"""Seconds that each caller waits."""
PATIENCE = 60.0
"""Seconds for whatever must come to be, on a busy machine."""
PERMITS = BreakerPolicy().permits
RESERVE = 3
"""Retries that a quiet target allows each process beyond a tenth of the calls."""
TYPED = {"ok", "transient", "timed-out", "deadline-exceeded", "breaker-open", "overloaded", "no-responders",
         "unknown-agent", "agent-lost", "draining", "unavailable"}  # fmt: skip
"""What a caller may hear of it."""


async def test_21_a_dependency_is_down_under_a_thousand_callers(chaos: Scenario, crowd: Crowd, mesh: Mesh) -> None:
    """a dependency is 100 % down under 1,000 callers: it fails, hangs, is gone · retries ≤ 10 %, in flight half-open ≤ permits, errors typed, recovery"""
    callers = [f"caller-{number}" for number in range(chaos.pick(2, 4))]
    await crowd.start("target", capacity=2 * CALLERS, mailbox=4 * CALLERS)
    await crowd.start(*callers, roles=("caller",))
    await listed(mesh, "target", agent="target")
    for caller in callers:
        terms = {
            "target": "target.do",
            "callers": CALLERS // len(callers),
            "timeout": TIMEOUT,
            "pause": chaos.pick(3.0, 0.5),
        }
        await soon(lambda caller=caller, terms=terms: mesh.ask(f"caller.{caller}", terms, command="begin"))
    back: list[float] = []
    refused = 0
    tap = Tap(mesh, "target", "do")
    for way in chaos.pick(("fails", "hangs"), ("fails", "hangs", "gone")):
        if way == "gone":
            await _until_served(mesh, callers)
            crowd.kill("target")
            found = await _hold(mesh, callers, chaos.pick(1, 5))
            back.append(time.time())
            await crowd.start("target")
        else:
            async with tap:
                await _until_served(mesh, callers)
                found = await _down(chaos, crowd, mesh, callers, way)
            back.append(time.time())
            crowd.mood("target", "well")
        assert set(found.codes) <= TYPED, found
        assert found.longest < PATIENCE
        refused += found.codes.get("breaker-open", 0)
        await _until_served(mesh, callers)
        back[-1] = time.time() - back[-1]
    assert tap.retries <= 0.1 * tap.calls + RESERVE * len(callers), tap.attempts
    await asyncio.gather(*(mesh.ask(f"caller.{each}", command="end") for each in callers))
    assert not crowd.mishaps("target", *callers)
    done = f"{len(back)} times down under {CALLERS} callers in {len(callers)} processes"
    held = (
        f"{tap.retries} retries of {tap.calls} calls, {refused} refused at once, ≤ {PERMITS} trials in flight a process"
    )
    chaos.note(done, held, spread(back))


async def test_22_a_retry_storm(chaos: Scenario, crowd: Crowd, mesh: Mesh) -> None:
    """thousands call what is slow, or says that it is overloaded · retries ≤ 10 %, all answered with a type, all served afterwards"""
    callers = [f"caller-{number}" for number in range(chaos.pick(2, 4))]
    storm = chaos.pick(1500, 2500)
    await crowd.start("target", capacity=8, mailbox=64)
    await crowd.start(*callers, roles=("caller",))
    await listed(mesh, "target", agent="target")
    back: list[float] = []
    codes: Counter[str] = Counter()
    async with Tap(mesh, "target", "do") as tap:
        for way in chaos.pick(("slow", "overloaded"), ("slow", "overloaded", "fails") * 4):
            crowd.mood("target", way)  # type: ignore[arg-type]
            found = await _all_at_once(mesh, callers, storm)
            assert set(found.codes) <= TYPED, found
            assert found.calls == storm * len(callers)
            assert way != "slow" or found.codes["ok"] > 0, found
            codes.update(found.codes)
            over = time.time()
            crowd.mood("target", "well")
            await passes(
                lambda: _all_at_once(mesh, callers, 5), lambda found: set(found.codes) == {"ok"}, within=PATIENCE
            )
            back.append(time.time() - over)
        assert tap.retries <= 0.1 * codes.total() + RESERVE * len(callers), tap.attempts
    await until(lambda: running(crowd.books("target").read()) == 0, timeout=PATIENCE)
    assert not crowd.mishaps("target", *callers)
    heard = ", ".join(f"{count} {code}" for code, count in sorted(codes.items()))
    done = f"{len(back)} storms of {storm * len(callers)} calls"
    chaos.note(done, f"{heard}; {tap.attempts.total()} reached the target, {tap.retries} of them retries", spread(back))


async def _all_at_once(mesh: Mesh, callers: Sequence[str], calls: int) -> Tallied:
    """So many calls in each process; what came of all of them."""
    terms = {"target": "target.do", "callers": calls, "timeout": 5.0, "name": f"{time.time()}"}
    for each in callers:
        await soon(lambda each=each: mesh.ask(f"caller.{each}", terms, command="storm"))
    whole = Tallied()

    async def more() -> Tallied:
        whole.join(await fresh(mesh, callers, PATIENCE))
        return whole

    return await passes(more, lambda found: found.calls >= calls * len(callers), within=PATIENCE)


async def _down(chaos: Scenario, crowd: Crowd, mesh: Mesh, callers: Sequence[str], way: Mood) -> Tallied:
    """It is ill until every process of callers has noticed, and for a while after; what they heard in that while."""
    crowd.mood("target", way)
    await _until_all_open(mesh, callers)
    trials = PERMITS * len(callers)
    await until(lambda: running(crowd.books("target").read()) <= trials, timeout=PATIENCE)
    since = time.time()
    await fresh(mesh, callers, PATIENCE)
    found = await _hold(mesh, callers, chaos.pick(2, 8))
    at_once = most_at_once(_trials(crowd, since))
    assert all(most <= PERMITS for most in at_once.values()), at_once
    assert found.codes["breaker-open"] > 0.5 * found.calls, found
    return found


def _trials(crowd: Crowd, since: float) -> list[Line]:
    """What the target began from then on, and how that ended."""
    lines = crowd.books("target").read("do", since=since)
    begun = {each.message for each in lines if each.sign == "+"}
    return [each for each in lines if each.message in begun]


async def _until_all_open(mesh: Mesh, callers: Sequence[str]) -> None:
    """Until no caller's breaker is closed."""

    async def closed() -> list[str]:
        return [
            state
            for each in callers
            for state in await mesh.ask(f"caller.{each}", command="breakers")
            if state == "closed"
        ]

    await passes(lambda: soon(closed), lambda states: not states, within=PATIENCE)


async def _hold(mesh: Mesh, callers: Sequence[str], seconds: float) -> Tallied:
    """Let them call on for so long; what came of the calls since the last time somebody looked."""
    await asyncio.sleep(seconds)
    return await fresh(mesh, callers, PATIENCE)


async def _until_served(mesh: Mesh, callers: Sequence[str]) -> None:
    """Until every process of callers hears nothing but success."""

    async def each() -> list[Tallied]:
        return [await fresh(mesh, [caller], PATIENCE) for caller in callers]

    await passes(each, lambda found: all(set(one.codes) == {"ok"} for one in found), within=PATIENCE, every=0.3)
