"""Nothing is begun once its process has heard that it is killed, whatever the step was waiting for just then; nor once the job is
to be paused or cancelled."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World
from test_kill_switches_of_jobs import Operators, until

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.protocols.errors import Cancelled, NoBids, Overloaded
from mesh.protocols.policies import Switch
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual

KILLED = Switch(what="workflow", name="flow", by="ada")


@pytest.fixture
def operators() -> Operators:
    return Operators()


async def is_held_back_and_goes_on(world: World, handle: Any, operators: Operators, calls: list[Any]) -> None:
    """What is killed by now is not begun as long as that is so, and then is."""
    begun = len(calls)
    state = await until(world, handle, "waiting")
    assert [each.opened.kind for each in state.open_waits] == ["killed"]
    await world.clock.sleep(300)
    assert len(calls) == begun
    operators.allow(KILLED.key)
    assert await handle.result(300) == "done"
    await world.close()


async def test_what_an_agent_has_put_off(clock: Clock, ids: Ids, operators: Operators) -> None:
    calls: list[float] = []

    def work(_: Any) -> str:
        calls.append(clock.monotonic())
        if len(calls) == 1:
            raise Overloaded("later", retry_after=60)
        return "done"

    @workflow("flow")
    async def flow(job: Job) -> str:
        return await job.call("work", returns=str)

    world = World(clock, ids, policy=operators, work=work)
    await world.host("p", flow, look_every=1.0)
    handle = await world.submit_job("flow")
    await until(world, handle, "waiting")
    operators.decide(KILLED)
    await clock.sleep(70)
    await is_held_back_and_goes_on(world, handle, operators, calls)


async def test_what_waits_for_the_registry(clock: Clock, ids: Ids, operators: Operators) -> None:
    calls: list[str] = []
    held = False

    async def work() -> str:
        calls.append("work")
        return "done"

    @workflow("flow")
    async def flow(job: Job) -> str:
        return await job.step("work", work)

    world = World(clock, ids, policy=operators)
    host = await world.host("p", flow, look_every=1.0)
    object.__setattr__(host.seat, "holds_lease", lambda: held)
    handle = await world.submit_job("flow")
    await clock.sleep(5)
    operators.decide(KILLED)
    held = True
    await is_held_back_and_goes_on(world, handle, operators, calls)
    assert calls == ["work"]


@pytest.mark.parametrize("how", ["step", "call"])
async def test_what_is_being_journaled(clock: Clock, ids: Ids, operators: Operators, how: str) -> None:
    """The switch comes while the store writes that the step begins."""
    calls: list[str] = []

    def called(_: Any) -> str:
        calls.append("work")
        return "done"

    async def work() -> str:
        return called(None)

    @workflow("flow")
    async def flow(job: Job) -> str:
        if how == "step":
            return await job.step("work", work, effect="idempotent")
        return await job.call("work", returns=str, effect="idempotent")

    world = World(clock, ids, policy=operators, work=called)
    host = await world.host("p", flow, look_every=1.0)
    append, decisions = host.seat.store.append, [KILLED]

    async def slow(subject: str, data: bytes, **given: Any) -> Any:
        if b"step.started" in data and decisions:
            operators.decide(decisions.pop())
        return await append(subject, data, **given)

    host.seat.store.append = slow  # type: ignore[method-assign]
    handle = await world.submit_job("flow")
    await is_held_back_and_goes_on(world, handle, operators, calls)
    assert calls == ["work"]


async def test_what_nobody_has_taken_yet(clock: Clock, ids: Ids, operators: Operators) -> None:
    calls: list[str] = []

    def work(_: Any) -> str:
        calls.append("work")
        return "done"

    @workflow("flow")
    async def flow(job: Job) -> str:
        return await job.call("work", returns=str, timeout=100)

    world = World(clock, ids, policy=operators, work=work)
    real, busy = world.contractor.contract, True

    async def contract(call: Any, **given: Any) -> Any:
        if busy:
            raise NoBids("all are busy", detail={"refusals": ["a.1: capacity: full"]})
        return await real(call, **given)

    world.contractor.contract = contract  # type: ignore[method-assign]
    await world.host("p", flow, look_every=1.0)
    handle = await world.submit_job("flow")
    await clock.sleep(5)
    operators.decide(KILLED)
    busy = False
    await is_held_back_and_goes_on(world, handle, operators, calls)
    state = await handle.state()
    assert (state.steps["work"].attempt, len(state.steps["work"].awards)) == (1, 1), "an award that is not made is none"


async def test_a_child_that_only_its_own_host_knows_to_be_killed_can_be_cancelled_with_its_parent(
    clock: Clock, ids: Ids, operators: Operators
) -> None:
    @workflow("inner")
    async def inner(job: Job) -> str:
        return "done"

    @workflow("flow")
    async def flow(job: Job) -> str:
        return await job.child(inner)

    world = World(clock, ids)
    await world.host("p", flow)
    world.policy = operators
    operators.decide(Switch(what="workflow", name="inner"))
    await world.host("q", inner)
    handle = await world.submit_job("flow")
    await clock.sleep(5)
    await handle.cancel(timeout=10)
    with pytest.raises(Cancelled):
        await handle.result(10)
    await world.close()


async def test_a_child_is_not_begun_while_its_parent_is_to_be_paused(clock: Clock, ids: Ids) -> None:
    begun: list[str] = []

    async def note(name: str) -> str:
        begun.append(name)
        await clock.sleep(10)
        return name

    @workflow("inner")
    async def inner(job: Job) -> str:
        return await job.step("inner", note, "inner")

    @workflow("flow")
    async def flow(job: Job) -> list[str]:
        return [await job.step("outer", note, "outer"), await job.child(inner)]

    world = World(clock, ids)
    await world.host("p", flow, inner)
    handle = await world.submit_job("flow")
    await clock.sleep(5)
    await handle.pause(timeout=10)
    await clock.sleep(100)
    assert (begun, (await handle.state()).status) == (["outer"], "paused")
    await handle.resume(timeout=10)
    assert await handle.result(60) == ["outer", "inner"]
    await world.close()


@pytest.mark.parametrize("said", ["pause", "cancel"])
async def test_what_waited_for_the_registry_while_its_job_was_to_end_or_pause(
    said: str, clock: Clock, ids: Ids
) -> None:
    calls: list[str] = []
    held = False

    async def work() -> str:
        calls.append("work")
        return "done"

    @workflow("flow")
    async def flow(job: Job) -> str:
        return await job.step("work", work)

    world = World(clock, ids)
    host = await world.host("p", flow)
    object.__setattr__(host.seat, "holds_lease", lambda: held)
    handle = await world.submit_job("flow")
    await clock.sleep(5)
    await getattr(handle, said)(timeout=10)
    held = True
    await until_over(world, handle)
    assert calls == []
    await world.close()


async def until_over(world: World, handle: Any) -> None:
    while (await handle.state()).status not in ("paused", "cancelled"):
        await world.clock.sleep(0.5)
