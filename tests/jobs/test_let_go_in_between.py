"""A job is let go of once everything in it waits: never while a line of it is still on its way to somewhere, or that line would
stand still until the others have their answers."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.protocols.ports import Clock, Ids
from mesh.transport.memory.objects import MemoryObjects

pytestmark = pytest.mark.virtual

SLOW = 0.4
"""Seconds: longer than a job lingers."""


def big() -> str:
    return "x" * 100_000


async def small(text: str = "") -> str:
    return text[:1] or "after"


def slow_objects(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("put", "get"):
        real = getattr(MemoryObjects, name)

        async def slow(self: Any, given: Any, real: Any = real) -> Any:
            await clock.sleep(SLOW)
            return await real(self, given)

        monkeypatch.setattr(MemoryObjects, name, slow)


async def go_on_beside_an_open_wait(world: World, flow: Any) -> Any:
    """The result, once the wait is answered; everything else must have been done long before."""
    host = await world.host("p", flow)
    handle = await world.submit_job(flow.name)
    await world.clock.sleep(60)
    state = await handle.state()
    assert (state.status, host.running) == ("waiting", [])
    assert [each.opened.key for each in state.open_waits] == ["go"]
    assert state.steps["rest/after"].state == "succeeded"
    await handle.signal("go", timeout=10)
    result = await handle.result(60)
    await world.close()
    return result


async def test_while_an_object_is_put_or_fetched(clock: Clock, ids: Ids, monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow("flow")
    async def flow(job: Job) -> Any:
        async def rest() -> Any:
            digest = await job.put_object(b"data")
            await job.get_object(digest)
            await job.put_artifact("text", big())
            return await job.step("after", small)

        return await job.gather(job.wait("go", key="go"), job.branch("rest", rest()))

    slow_objects(clock, monkeypatch)
    assert await go_on_beside_an_open_wait(World(clock, ids), flow) == [None, "after"]


async def test_while_a_large_result_is_recalled(clock: Clock, ids: Ids, monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow("flow")
    async def flow(job: Job) -> Any:
        async def rest() -> Any:
            text = await job.step("big", big)
            await job.sleep(10)
            return await job.step("after", small, text)

        return await job.gather(job.wait("go", key="go"), job.branch("rest", rest()))

    slow_objects(clock, monkeypatch)
    assert await go_on_beside_an_open_wait(World(clock, ids), flow) == [None, "x"]


async def test_while_a_wait_is_journaled(clock: Clock, ids: Ids) -> None:
    @workflow("flow")
    async def flow(job: Job) -> Any:
        async def rest() -> Any:
            await job.step("before", small)
            await job.sleep(10)
            return await job.step("after", small)

        return await job.gather(job.wait("go", key="go"), job.branch("rest", rest()))

    world = World(clock, ids)
    world.server.latency = SLOW / 2
    assert await go_on_beside_an_open_wait(world, flow) == [None, "after"]


async def test_while_a_step_in_doubt_is_asked_about(clock: Clock, ids: Ids) -> None:
    async def charge() -> str:
        await clock.sleep(1000)
        return "charged"

    async def find_out() -> Any:
        await clock.sleep(SLOW)
        return "found"

    @workflow("flow")
    async def flow(job: Job) -> Any:
        async def rest() -> Any:
            await job.step("charge", charge, effect="at_most_once", reconcile=find_out)
            return await job.step("after", small)

        return await job.gather(job.wait("go", key="go"), job.branch("rest", rest()))

    world = World(clock, ids)
    await world.host("first", flow)
    handle = await world.submit_job("flow")
    await clock.sleep(10)
    await world.crash("first")
    await world.host("p", flow, look_every=1.0)
    await clock.sleep(60)
    assert (await handle.state()).steps["rest/after"].state == "succeeded"
    await world.close()


async def test_while_the_registry_has_not_acknowledged_the_owner(clock: Clock, ids: Ids) -> None:
    held = True

    @workflow("flow")
    async def flow(job: Job) -> Any:
        async def rest() -> Any:
            await job.sleep(10)
            return await job.step("after", small)

        return await job.gather(job.wait("go", key="go"), job.branch("rest", rest()))

    world = World(clock, ids)
    host = await world.host("p", flow)
    object.__setattr__(host.seat, "holds_lease", lambda: held)
    handle = await world.submit_job("flow")
    await clock.sleep(5)
    held = False
    await clock.sleep(8)
    held = True
    await clock.sleep(30)
    assert (await handle.state()).steps["rest/after"].state == "succeeded"
    await world.close()
