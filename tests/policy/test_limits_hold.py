"""However many processes use a rate limit, however they come and go: together never more than it says, and nearly all of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.clock import SeededIds
from mesh.policy.allowance import Allowance, Draw, least_burst, terms
from mesh.policy.limiter import Limiter
from mesh.protocols.errors import MeshError, RateLimited
from mesh.protocols.policies import RateLimit
from mesh.protocols.ports import Clock
from mesh.testing.virtual_time import VirtualClock, run_virtual, until
from mesh.transport.memory.server import MemoryServer
from tests.policy.limited import Users, limit, worst
from tests.policy.policy_operator import Operator

virtual = pytest.mark.virtual


@pytest.fixture
async def users(server: MemoryServer, clock: Clock) -> AsyncIterator[Users]:
    users = Users(server, clock)
    yield users
    await users.leave()


async def hammer(users: Users, name: str, seconds: float, pause: float) -> None:
    """Use the limit as fast as one may, coming back a little later each time it is refused."""
    limiter, end = await users.process(name), users.clock.monotonic() + seconds
    while users.clock.monotonic() < end:
        try:
            await limiter.take(agent="writer")
        except RateLimited as error:
            await users.clock.sleep(error.retry_after or 0.0)
        else:
            users.used()
            await users.clock.sleep(users.random.uniform(0, 2 * pause))


async def often(times: int, limiter: Limiter, **names: str) -> None:
    for _ in range(times):
        await limiter.take(**names)  # type: ignore[arg-type]


@virtual
@pytest.mark.parametrize("processes", [1, 8])
async def test_many_processes_together_use_all_of_a_limit_and_never_more(
    operator: Operator, users: Users, processes: int
) -> None:
    await operator.put(limit(calls=6000, burst=200))
    began = users.clock.monotonic()
    await asyncio.gather(*(hammer(users, f"p{number}", 5.0, 0.004 * processes**0.5) for number in range(processes)))
    lasted = users.clock.monotonic() - began
    assert worst(users.uses, 100.0) <= 200.0
    assert len(users.uses) >= 0.85 * 100.0 * lasted


@virtual
async def test_a_slow_limit_lets_one_call_through_at_a_time(operator: Operator, users: Users) -> None:
    await operator.put(limit(calls=60, burst=1))
    await asyncio.gather(*(hammer(users, f"p{number}", 60.0, 0.01) for number in range(4)))
    assert worst(users.uses, 1.0) <= least_burst(60)
    assert 45 <= len(users.uses) <= 62


@virtual
async def test_who_is_refused_is_told_when_and_then_gets_it(operator: Operator, users: Users) -> None:
    await operator.put(limit(calls=60, burst=5))
    limiter = await users.process("one")
    with pytest.raises(RateLimited) as raised:
        await often(10, limiter, agent="writer")
    assert raised.value.blame == "nobody"
    assert raised.value.detail["limit"] == "limit.agent.writer"
    assert raised.value.retry_after is not None
    await users.clock.sleep(raised.value.retry_after)
    await limiter.take(agent="writer")


@virtual
async def test_a_dead_process_takes_its_slice_along_and_nobody_gets_it_twice(
    operator: Operator, users: Users, server: MemoryServer
) -> None:
    await operator.put(limit(calls=600, burst=60))
    work = [asyncio.ensure_future(hammer(users, f"p{number}", 30.0, 0.02)) for number in range(6)]
    for number in range(3):
        await users.clock.sleep(5.0)
        work[number].cancel()
        server.kill(f"p{number}")
    await asyncio.gather(*work, return_exceptions=True)
    assert worst(users.uses, 10.0) <= 60.0
    assert len(users.uses) >= 0.8 * 300


@virtual
async def test_a_lost_ack_may_cost_a_slice_and_never_gives_two(
    operator: Operator, users: Users, server: MemoryServer
) -> None:
    await operator.put(limit(calls=600, burst=60))
    limiter = await users.process("one")
    await limiter.take(agent="writer")
    server.stop()
    await users.clock.sleep(1.0)
    with pytest.raises(MeshError):
        await limiter.take(agent="writer")
    server.start()
    await until(lambda: limiter._policy.limits)
    await hammer(users, "two", 10.0, 0.01)
    assert worst(users.uses, 10.0) <= 60.0


@virtual
async def test_tokens_are_set_aside_by_estimate_and_settled_by_what_they_came_to(
    operator: Operator, users: Users
) -> None:
    await operator.put(limit(tokens=6000, token_burst=1000))
    limiter = await users.process("one")
    first = await limiter.take(agent="writer", tokens=800)
    with pytest.raises(RateLimited):
        await limiter.take(agent="writer", tokens=800)
    first.settle(100)
    await limiter.take(agent="writer", tokens=700)


@virtual
async def test_more_tokens_than_were_set_aside_are_paid_before_anything_else(operator: Operator, users: Users) -> None:
    await operator.put(limit(tokens=6000, token_burst=1000))
    limiter = await users.process("one")
    (await limiter.take(agent="writer", tokens=10)).settle(2900)
    with pytest.raises(RateLimited) as raised:
        await limiter.take(agent="writer", tokens=10)
    assert raised.value.retry_after is not None
    assert 18.0 < raised.value.retry_after < 25.0


@virtual
@pytest.mark.parametrize("given_back", ["cancelled", "settled"])
async def test_what_is_given_back_late_is_not_used_in_one_moment(
    operator: Operator, users: Users, given_back: str
) -> None:
    """Sixty calls wait in a mailbox for a minute, or are at work for that long, and end together: none of them used anything."""
    await operator.put(limit(calls=600, burst=20) if given_back == "cancelled" else limit(tokens=600, token_burst=20))
    limiter, waiting = await users.process("one"), []
    for _ in range(120):
        await users.clock.sleep(0.5)
        with contextlib.suppress(RateLimited):
            waiting.append(await limiter.take(agent="writer", tokens=1))
    assert len(waiting) > 40
    for each in waiting:
        each.cancel() if given_back == "cancelled" else each.settle(0)
    with contextlib.suppress(RateLimited):
        for _ in range(100):
            await limiter.take(agent="writer", tokens=1)
            users.used()
    assert worst(users.uses, 10.0) <= 20.0


@virtual
async def test_what_is_given_back_late_pays_what_is_owed(operator: Operator, users: Users) -> None:
    await operator.put(limit(tokens=6000, token_burst=1000))
    limiter = await users.process("one")
    early = await limiter.take(agent="writer", tokens=400)
    await users.clock.sleep(10.0)
    (await limiter.take(agent="writer", tokens=10)).settle(300)
    early.settle(0)
    assert limiter.matching(agent="writer")[0].allowance.debt == 0.0


@virtual
async def test_one_call_larger_than_the_burst_is_let_through_when_all_is_there(
    operator: Operator, users: Users
) -> None:
    await operator.put(limit(tokens=6000, token_burst=1000))
    limiter = await users.process("one")
    await limiter.take(agent="writer", tokens=5000)
    with pytest.raises(RateLimited) as raised:
        await limiter.take(agent="writer", tokens=1)
    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 35.0


@virtual
async def test_every_limit_that_is_meant_counts_and_a_refusal_takes_nothing(operator: Operator, users: Users) -> None:
    await operator.put(limit(calls=6000, burst=100))
    await operator.put(RateLimit(tenant="acme", calls=60, burst=3))
    limiter = await users.process("one")
    with pytest.raises(RateLimited, match="tenant acme"):
        await often(50, limiter, agent="writer", tenant="acme")
    await often(50, limiter, agent="writer", tenant="globex")


@virtual
async def test_a_star_gives_each_tenant_a_limit_of_its_own(operator: Operator, users: Users) -> None:
    await operator.put(RateLimit(tenant="*", calls=60, burst=3))
    limiter = await users.process("one")
    for tenant in ("acme", "globex"):
        with pytest.raises(RateLimited):
            await often(5, limiter, agent="writer", tenant=tenant)


@virtual
async def test_a_tool_has_limits_of_its_own(operator: Operator, users: Users) -> None:
    await operator.put(limit(calls=60, burst=2))
    limiter = await users.process("one")
    for _ in range(20):
        await limiter.take(tool="search", agent="writer", tenant="acme")


@virtual
async def test_a_changed_limit_counts_at_once(operator: Operator, users: Users) -> None:
    await operator.put(limit(calls=60, burst=2))
    limiter = await users.process("one")
    with pytest.raises(RateLimited):
        await often(4, limiter, agent="writer")
    await operator.lift(limit(calls=1).key)
    await until(lambda: not limiter.matching(agent="writer"))
    await often(100, limiter, agent="writer")


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    processes=st.integers(1, 6),
    calls=st.floats(30, 6000),
    burst=st.floats(1, 300),
    pause=st.floats(0.001, 0.5),
)
def test_no_window_of_any_run_has_more_than_the_limit_gives(
    seed: int, processes: int, calls: float, burst: float, pause: float
) -> None:
    async def run() -> list[tuple[float, float]]:
        clock = VirtualClock()
        server = MemoryServer(clock, SeededIds(clock, seed=seed), latency=0.003)
        operator, users = Operator(server, clock), Users(server, clock, seed)
        await operator.put(limit(calls=calls, burst=burst))
        await asyncio.gather(*(hammer(users, f"p{number}", 5.0, pause) for number in range(processes)))
        await users.leave()
        return users.uses

    uses = run_virtual(run)
    assert worst(uses, calls / 60.0) <= max(burst, least_burst(calls)) + 1e-6


class Hostile:
    """A store that stores or not, and tells or not; processes whose clocks have nothing in common, and that freeze."""

    def __init__(self) -> None:
        self.left: float | None = None
        self.revision = 0


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["use", "use", "use", "draw", "draw", "look", "freeze"]),
        st.floats(0.0, 0.4),
        st.sampled_from(["told", "told", "told", "untold", "lost"]),
    ),
    max_size=150,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, a_minute=st.floats(60, 6000), burst=st.floats(2, 200), skews=st.tuples(*[st.floats(-1e6, 1e6)] * 4))
def test_neither_skewed_clocks_nor_frozen_processes_nor_lost_answers_give_anything_twice(
    steps: list[tuple[int, str, float, str]], a_minute: float, burst: float, skews: tuple[float, ...]
) -> None:
    rules, store, now = terms(a_minute, burst), Hostile(), 0.0
    processes = [Allowance(rules) for _ in skews]
    uses: list[tuple[float, float]] = []
    pending: dict[int, tuple[Draw, int | None]] = {}
    for who, what, passes, fate in steps:
        now += passes
        mine, here = processes[who], now + skews[who]
        if who in pending and what != "freeze":
            draw, stored = pending.pop(who)
            mine.missed(draw) if stored is None else mine.drew(draw, stored, here)
        if what == "look":
            left = rules.capacity if store.left is None else store.left
            mine.saw(left, store.revision, here)
        elif what == "use" and mine.take(1.0, here):
            uses.append((now, 1.0))
        elif what in ("draw", "freeze") and who not in pending and (draft := mine.draw(1.0, here)) is not None:
            if fate != "lost" and draft.revision == store.revision:
                store.left, store.revision = draft.left, store.revision + 1
                if fate == "told":
                    pending[who] = (draft, store.revision)
                else:
                    mine.forget()
            elif fate == "lost":
                mine.forget()
            else:
                pending[who] = (draft, None)
    assert worst(uses, rules.rate) <= max(burst, least_burst(a_minute)) + 1e-6


@virtual
async def test_names_that_come_and_go_do_not_pile_up(operator: Operator, users: Users, monkeypatch: Any) -> None:
    monkeypatch.setattr("mesh.policy.limiter.MATCHES", 10)
    await operator.put(RateLimit(tenant="*", calls=60, burst=3))
    limiter = await users.process("one")
    for number in range(100):
        await limiter.take(agent="writer", tenant=f"t{number}")
        await users.clock.sleep(0.2)
    assert len(limiter._meters) <= 20
    with pytest.raises(RateLimited):
        await often(5, limiter, agent="writer", tenant="t99")


@virtual
async def test_a_limit_of_ones_own_stands_beside_that_of_each(operator: Operator, users: Users) -> None:
    """Both would be kept under the same key: each call counted twice, on the terms of whichever came first."""
    await operator.put(RateLimit(tenant="*", calls=60, burst=3))
    await operator.put(RateLimit(tenant="acme", calls=600, burst=50))
    limiter = await users.process("one")
    await often(40, limiter, agent="writer", tenant="acme")
    with pytest.raises(RateLimited):
        await often(20, limiter, agent="writer", tenant="acme")
    with pytest.raises(RateLimited):
        await often(5, limiter, agent="writer", tenant="globex")


@virtual
async def test_what_is_owed_is_owed_whatever_is_decided_about_others(operator: Operator, users: Users) -> None:
    await operator.put(limit(tokens=6000, token_burst=1000))
    limiter = await users.process("one")
    running = await limiter.take(agent="writer", tokens=10)
    await operator.put(RateLimit(tenant="acme", calls=60, burst=3))
    await until(lambda: len(limiter._policy.limits) == 2)
    running.settle(3000)
    await operator.put(limit(tokens=6000, token_burst=1000))
    await until(lambda: limiter._policy.revision(limit(tokens=1).key) == 3)
    with pytest.raises(RateLimited) as raised:
        await limiter.take(agent="writer", tokens=10)
    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 18.0
