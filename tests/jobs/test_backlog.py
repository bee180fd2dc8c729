"""Whose job is next: fair between tenants by weight, urgent before idle within one, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_stage import World
from test_kill_switches_of_jobs import Operators

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.owning import backlog as module
from mesh.jobs.owning.backlog import AGEING, Backlog, Candidate
from mesh.jobs.owning.places import Places
from mesh.protocols.errors import Overloaded
from mesh.protocols.policies import TenantShare
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


class Bench:
    """A backlog whose time and shares are set by hand."""

    def __init__(self, places: int = 4, **shares: TenantShare) -> None:
        self.now = 0.0
        self.shares = shares
        self.places = Places(places)
        self.backlog = Backlog(self.places, lambda tenant: self.shares.get(tenant, TenantShare()), lambda: self.now)
        self._count = 0

    def add(self, tenant: str, count: int = 1, priority: int = 2) -> list[str]:
        jobs = [f"{tenant}{self._count + n}" for n in range(count)]
        self._count += count
        for each in jobs:
            self.backlog.add(Candidate(job=each, tenant=tenant, workflow="w", version=1, priority=priority))
        return jobs

    def take(self, count: int = 1) -> list[str]:
        taken = (self.backlog.take() for _ in range(count))
        return [each.tenant for each in taken if each is not None]


def test_tenants_take_turns_however_many_jobs_one_has() -> None:
    bench = Bench()
    bench.add("flood", 1000)
    bench.add("b", 2)
    bench.add("c", 1)
    assert sorted(bench.take(3)) == ["b", "c", "flood"]
    assert bench.take(3).count("b") == 1


def test_twice_the_weight_is_twice_the_jobs() -> None:
    bench = Bench(heavy=TenantShare(weight=3.0))
    bench.add("heavy", 100)
    bench.add("light", 100)
    assert Counter(bench.take(80)) == {"heavy": 60, "light": 20}


def test_beside_one_with_a_small_weight_the_others_still_take_turns() -> None:
    bench = Bench(least=TenantShare(weight=0.01))
    for tenant in ("a", "b", "least"):
        bench.add(tenant, 300)
    taken = bench.take(201)
    assert Counter(taken) == {"a": 100, "b": 100, "least": 1}
    others = [each for each in taken if each != "least"]
    assert all(first != second for first, second in pairwise(others))


def test_who_has_its_share_of_the_places_lets_the_others_go_first() -> None:
    bench = Bench(places=4)
    for number in range(3):
        bench.places.enter(f"running{number}", "flood")
    bench.add("flood", 10)
    bench.add("b", 2)
    assert bench.take(2) == ["b", "b"]


def test_a_share_of_the_places_is_by_weight() -> None:
    bench = Bench(places=4, heavy=TenantShare(weight=3.0))
    for number, tenant in enumerate(["heavy", "heavy", "light"]):
        bench.places.enter(f"running{number}", tenant)
    bench.add("light", 2)
    bench.add("heavy", 2)
    assert bench.take() == ["heavy"], "it drives two of its three, the other its one"


def test_among_equals_the_first_to_come_is_the_first_to_go() -> None:
    bench = Bench()
    jobs = bench.add("a", 5)
    assert [each.job for each in iter(bench.backlog.take, None) if each] == jobs


def test_nobody_has_more_than_its_share_at_once() -> None:
    bench = Bench(places=10, a=TenantShare(at_once=2))
    bench.add("a", 5)
    assert bench.backlog.ready == 2
    bench.places.enter("one", "a")
    bench.places.enter("two", "a")
    assert bench.backlog.take() is None
    assert bench.backlog.ready == 0
    bench.places.leave("one")
    assert bench.take() == ["a"]


def test_the_urgent_go_first_and_the_others_are_not_overtaken_for_ever() -> None:
    bench = Bench()
    (idle,) = bench.add("a", 1, priority=3)
    (urgent,) = bench.add("a", 1, priority=0)
    taken = bench.backlog.take()
    assert taken is not None
    assert taken.job == urgent
    bench.now = 3 * AGEING + 1
    bench.add("a", 1, priority=0)
    taken = bench.backlog.take()
    assert taken is not None
    assert taken.job == idle


def test_where_too_many_wait_the_longest_queue_gives_up_its_least_urgent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 10)
    bench = Bench()
    bench.add("flood", 20)
    (mine,) = bench.add("b")
    assert len(bench.backlog) == 10
    assert bench.backlog.waiting("b") == 1
    bench.add("flood", 5)
    assert mine in {each.job for each in iter(bench.backlog.take, None) if each}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from("abc"), st.integers(0, 3)),
            st.tuples(st.just("take"), st.just(""), st.just(0)),
            st.tuples(st.just("end"), st.just(""), st.just(0)),
        ),
        max_size=120,
    )
)
def test_every_job_is_given_once_and_a_free_place_never_waits_beside_a_job_that_may_have_it(steps: list[Any]) -> None:
    bench = Bench(places=3, a=TenantShare(at_once=1), b=TenantShare(weight=2.5))
    added: list[str] = []
    given_: list[str] = []
    running: list[str] = []
    for what, tenant, priority in steps:
        bench.now += 1
        if what == "add":
            added += bench.add(tenant, 1, priority)
        elif what == "end" and running:
            bench.places.leave(running.pop(0))
        elif what == "take" and len(running) < 3:
            ready = bench.backlog.ready
            candidate = bench.backlog.take()
            assert (candidate is not None) == (ready > 0)
            if candidate is not None:
                running.append(candidate.job)
                given_.append(candidate.job)
                bench.places.enter(candidate.job, candidate.tenant)
        assert bench.places.of("a") <= 1
        assert len(bench.backlog) == len(added) - len(given_)
    assert len(set(given_)) == len(given_)
    assert set(given_) <= set(added)


async def test_a_tenants_jobs_at_once_are_bounded_and_the_others_go_on(clock: Clock, ids: Ids) -> None:
    driven: Counter[str] = Counter()
    most: Counter[str] = Counter()

    @workflow("work")
    async def work(job: Job) -> None:
        await job.step("work", one, job.tenant)

    async def one(tenant: str) -> None:
        driven[tenant] += 1
        most[tenant] = max(most[tenant], driven[tenant])
        await clock.sleep(10)
        driven[tenant] -= 1

    operators = Operators()
    operators.decide(TenantShare(tenant="flood", at_once=2))
    world = World(clock, ids, policy=operators)
    await world.host("p", work, at_once=8)
    flood = [await world.submit_job("work", tenant="flood") for _ in range(10)]
    began = clock.monotonic()
    await (await world.submit_job("work", tenant="other")).result(60)
    assert clock.monotonic() - began < 12, "a free place is not kept from it"
    for each in flood:
        await each.result(600)
    assert most == {"flood": 2, "other": 1}
    await world.close()


async def test_submissions_beyond_a_tenants_queue_are_refused_and_those_in_the_stream_wait_there(
    clock: Clock, ids: Ids
) -> None:
    @workflow("work")
    async def work(job: Job) -> None:
        await job.step("work", clock.sleep, 100)

    operators = Operators()
    operators.decide(TenantShare(tenant="flood", at_once=1, queue=2))
    world = World(clock, ids, policy=operators)
    await world.host("p", work, at_once=8)
    for _ in range(3):
        await world.submit_job("work", tenant="flood")
    with pytest.raises(Overloaded, match="as many jobs waiting as it may") as refused:
        await world.submit_job("work", tenant="flood", timeout=0.5)
    assert refused.value.retry_after
    await (await world.submit_job("work", tenant="other")).result(200)
    store = world.connect("publisher").store
    await store.append(world.subjects.ingress("flood", "work"), b"null", timeout=5)
    while len(heads := await world.reader.heads("flood")) < 4 or any(
        each.entry.head.state != "completed" for each in heads
    ):
        await clock.sleep(10)
    await world.close()


async def test_room_that_a_job_turns_out_not_to_need_is_somebody_else_s(clock: Clock, ids: Ids) -> None:
    """It was told of once more while it is driven here: who waits for room must hear that there is some."""

    @workflow("long")
    async def long(job: Job) -> None:
        await job.call("long")

    world = World(clock, ids, long=lambda _: clock.sleep(1000))
    host = await world.host("p", long, at_once=2)
    handle = await world.submit_job("long")
    while not host.running:
        await clock.sleep(0.1)
    waiting = asyncio.ensure_future(host._room.for_another())
    host._room.backlog.add(Candidate(job=handle.id, tenant="default", workflow="long", version=1))
    done, _ = await asyncio.wait({waiting}, timeout=10)
    assert done
    await world.close()
