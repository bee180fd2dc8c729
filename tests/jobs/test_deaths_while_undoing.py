"""Owners that die at any moment of a saga, of a child or of a doubt leave the same outcome behind."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.protocols.errors import Refused
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


class Ledger:
    """Counts what is done and undone, by name; each takes a while."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.done: list[str] = []
        self.undone: list[str] = []

    async def book(self, name: str) -> str:
        await self.clock.sleep(0.5)
        self.done.append(name)
        return name

    async def cancel(self, name: str) -> None:
        await self.clock.sleep(0.5)
        if name not in self.undone:
            self.undone.append(name)


@workflow("inner")
async def inner(job: Job, name: str) -> str:
    await job.call("book", f"{name} inner", key="book", compensate="cancel")
    await job.sleep(1)
    if name == "b":
        raise Refused("not b")
    return name


@workflow("outer")
async def outer(job: Job) -> Any:
    await job.map("book", ["x", "y"], key=str, compensate="cancel")
    await job.child(inner, "a", key="a")
    await job.branch("deep", deep(job))
    return "never"


async def deep(job: Job) -> None:
    await job.call("book", "z", key="z", compensate=lambda name: job.call("cancel", name))
    await job.child(inner, "b", key="b")


@pytest.mark.parametrize("first", [0.03, 1.1, 2.7, 3.3, 4.7])
@pytest.mark.parametrize("apart", [0.21, 0.77])
async def test_whenever_owners_die_everything_is_undone_in_order(
    first: float, apart: float, clock: Clock, ids: Ids
) -> None:
    ledger = Ledger(clock)
    world = World(clock, ids, book=ledger.book, cancel=ledger.cancel)
    await world.host("h0", outer, inner)
    handle = await world.submit_job("outer")
    await clock.sleep(first)
    for number in range(6):
        await world.crash(f"h{number}")
        await world.host(f"h{number + 1}", outer, inner)
        await clock.sleep(apart)
    state = await handle.watch(timeout=3600)
    assert (state.status, state.fault and state.fault.message) == ("compensated", "not b")
    assert set(ledger.done) == {"x", "y", "z", "a inner", "b inner"}
    assert ledger.undone[:2] == ["b inner", "z"]
    assert set(ledger.undone[2:]) == {"x", "y"}
    assert not state.void
    heads = {each.entry.head.workflow: each.entry.head.state for each in await world.reader.heads()}
    assert len(await world.reader.heads()) == 3
    assert heads["outer"] == "compensated"
    await world.close()
