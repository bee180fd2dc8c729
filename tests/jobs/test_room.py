"""The room of a process: who waits for a job or a place is woken, and how many more jobs each tenant should have here."""

from __future__ import annotations

import asyncio

import pytest

from mesh.jobs.owning.backlog import Candidate
from mesh.jobs.owning.decisions import Undecided
from mesh.jobs.owning.room import Room
from mesh.protocols.policies import TenantShare
from mesh.protocols.ports import Clock

pytestmark = pytest.mark.virtual


class Decided(Undecided):
    """Some tenants have shares of their own."""

    def __init__(self, **shares: TenantShare) -> None:
        super().__init__()
        self._shares = shares

    def share(self, tenant: str) -> TenantShare:
        return self._shares.get(tenant) or super().share(tenant)


def candidate(job: str, tenant: str = "a") -> Candidate:
    return Candidate(job=job, tenant=tenant, workflow="w", version=1, priority=2)


async def test_a_job_that_comes_while_nobody_waits_wakes_who_looks_for_one(clock: Clock) -> None:
    room = Room(2, Undecided(), clock)
    looking = asyncio.ensure_future(room.for_who_waits())
    await asyncio.sleep(1)
    assert not looking.done()
    room.backlog.add(candidate("j1"))
    await asyncio.wait_for(looking, 1.0)
    assert room.backlog.take() == candidate("j1")


async def test_a_place_that_is_let_go_wakes_who_waits_for_one(clock: Clock) -> None:
    room = Room(1, Undecided(), clock)
    assert room.hold("j1", "a")
    room.backlog.add(candidate("j2"))
    looking = asyncio.ensure_future(room.for_who_waits())
    await asyncio.sleep(1)
    assert not looking.done()
    room.let_go("j1")
    await asyncio.wait_for(looking, 1.0)


async def test_a_tenant_should_have_its_share_of_the_places_less_what_it_has(clock: Clock) -> None:
    room = Room(8, Decided(heavy=TenantShare(weight=3.0)), clock)
    assert room.wanted(["heavy", "light"]) == {"heavy": 6, "light": 2}
    room.hold("j1", "heavy")
    room.hold("j2", "heavy")
    for number in range(3):
        room.backlog.add(candidate(f"w{number}", "light"))
    assert room.wanted(["heavy", "light"]) == {"heavy": 4, "light": -1}
    assert room.wanted(["light"]) == {"light": -1}, "who holds places counts, asked for or not"
    assert room.wanted([]) == {}


async def test_one_job_is_every_tenants_however_small_its_share(clock: Clock) -> None:
    room = Room(2, Decided(small=TenantShare(weight=0.01)), clock)
    assert room.wanted(["small", "large"]) == {"small": 1, "large": 1}
