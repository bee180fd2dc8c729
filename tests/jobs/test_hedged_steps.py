"""A pure step that takes long is awarded twice: the journal has both awards, one outcome, and who really gave it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from job_stage import World

from mesh import Context, Job, agent, workflow
from mesh.contract_net.calls import Call
from mesh.jobs.journals.journals import Journals
from mesh.protocols.acts import Bid
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.errors import HandlerFailed
from mesh.protocols.ports import Clock, Ids
from mesh.testing.local import local_mesh
from mesh.testing.virtual_time import until
from mesh.transport.memory.server import MemoryServer

pytestmark = pytest.mark.virtual
WARM = 30
asked: list[str] = []
"""Those who had the last step in hand."""


@agent(capability="see", effect="pure", hedge=True, timeout=60.0, capacity=4)
async def seer(number: int, ctx: Context) -> str:
    first = number == WARM and not asked
    if number == WARM:
        asked.append(ctx.process)
    await asyncio.sleep(30.0 if first else 0.1)
    return ctx.process


@workflow("looking")
async def looking(job: Job, until: int) -> str:
    for number in range(WARM):
        await job.call("see", number, key=f"warm-{number}", returns=str)
    return await job.call("see", until, key="slow", returns=str)


async def test_both_awards_are_journaled_and_the_outcome_is_its_giver_s(clock: Clock, ids: Ids) -> None:
    server = MemoryServer(clock, ids)
    asked.clear()
    async with (
        local_mesh(server, process="a") as one,
        local_mesh(server, process="b") as other,
        local_mesh(server, process="c") as host,
    ):
        await one.host(seer)
        await other.host(seer)
        await until(lambda: len(host.directory.lookup("see")) == 2)
        await host.host_workflow(looking)
        handle = await host.submit("looking", WARM)
        began = clock.monotonic()
        found = await handle.result(timeout=60.0)
        assert clock.monotonic() - began < 20.0
        state = await Journals(host.peer.store, host.peer.subjects).state("default", handle.id)
    assert state is not None
    step = state.steps["slow"]
    assert [each.won.process for each in step.awards] == asked
    assert asked[1] == found
    assert step.by == f"seer.{found}"
    assert len({each.award for each in step.awards}) == 2


async def test_a_failure_is_told_of_who_failed_not_of_whoever_was_asked_last(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)

    async def contract(call: Call, *, ledger: Any, **heard: Any) -> Any:
        for name in ("one", "two"):
            who = Candidate(agent="seer", instance=name, process=name, version=f"{name}.0", bid=Bid())
            await ledger.award(
                AwardRecord(
                    award=name, conversation=name, capability="see", mode="standing", winner=who.key, reason="hedged",
                    at=clock.now(), effect="pure", candidates=(who,),
                )
            )  # fmt: skip
        raise HandlerFailed("blind", origin="seer.one")

    @workflow("looks")
    async def looks(job: Job) -> str:
        return await job.call("see", returns=str)

    world.contractor.contract = contract  # type: ignore[method-assign]
    await world.host("p", looks)
    handle = await world.submit_job("looks")
    state = await handle.watch(timeout=60)
    await world.close()
    assert (state.steps["see"].by, state.steps["see"].stamps.agent_version) == ("seer.one", "one.0")
