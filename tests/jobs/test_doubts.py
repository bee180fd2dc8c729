"""A step that may be done at most once, and was under way when somebody died, is never silently done again."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.outside.submission import JobHandle
from mesh.jobs.steps.doubts import NotDone
from mesh.protocols.errors import HandlerFailed, InDoubt, Refused
from mesh.protocols.job_events import StepFailed, StepInDoubt
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


class Payment:
    """Takes 50 s the first time, and none when it is done again."""

    def __init__(self, clock: Clock, **terms: Any) -> None:
        self.clock = clock
        self.sent: list[int] = []
        self.terms = terms

    async def pay(self) -> str:
        self.sent.append(1)
        await self.clock.sleep(50 if len(self.sent) == 1 else 0)
        return "receipt"

    def local(self) -> Any:
        @workflow("pay")
        async def paying(job: Job) -> str:
            return await job.step("pay", self.pay, effect="at_most_once", **self.terms)

        return paying

    def call(self) -> Any:
        @workflow("pay")
        async def paying(job: Job) -> str:
            return await job.call("pay", effect="at_most_once", returns=str, timeout=100, **self.terms)

        return paying


async def lost(world: World, flow: Any) -> JobHandle:
    """The job of an owner that died while the payment was under way, in the hands of another one."""
    await world.host("a", flow)
    handle = await world.submit_job("pay")
    await world.clock.sleep(5)
    await world.crash("a")
    await world.host("b", flow)
    return handle


async def until(handle: JobHandle, status: str) -> JobState:
    return await handle.watch(timeout=3600, until=lambda state: state.status == status)


@pytest.mark.parametrize("kind", ["local", "call"])
async def test_it_parks_the_job_until_a_person_says_what_became_of_it(kind: str, clock: Clock, ids: Ids) -> None:
    payment = Payment(clock)
    world = World(clock, ids, pay=lambda _: payment.pay())
    handle = await lost(world, payment.local() if kind == "local" else payment.call())
    state = await until(handle, "parked")
    (wait,) = state.open_waits
    assert (wait.opened.kind, wait.opened.name) == ("resolution", "pay")
    assert wait.opened.key == ("pay/~doubt" if kind == "local" else "pay/~doubt#2"), "who had the award was asked first"
    stream, subject = world.subjects.stream("EVT"), world.subjects.event("default", "jobs", "alert.raised")
    assert len(await world.client.store.read(stream, subject)) == 1

    assert (await handle.resolve("pay", "succeeded", "by hand", by="ann", timeout=60)).taken
    assert await handle.result(3600) == "by hand"
    step = (await handle.state()).steps["pay"]
    assert (step.state, step.by, payment.sent) == ("succeeded", "ann", [1])
    await world.close()


async def test_a_person_may_say_that_it_failed(clock: Clock, ids: Ids) -> None:
    payment = Payment(clock)
    world = World(clock, ids)
    handle = await lost(world, payment.local())
    await until(handle, "parked")
    await handle.resolve("pay", "failed", by="ann", reason="the bank has nothing", timeout=60)
    with pytest.raises(HandlerFailed, match="ann said that it failed: the bank has nothing"):
        await handle.result(3600)
    assert payment.sent == [1]
    await world.close()


@pytest.mark.parametrize("kind", ["local", "call"])
async def test_a_person_may_have_it_done_again_and_again(kind: str, clock: Clock, ids: Ids) -> None:
    payment = Payment(clock)
    world = World(clock, ids, pay=lambda _: payment.pay())
    flow = payment.local() if kind == "local" else payment.call()
    handle = await lost(world, flow)
    await until(handle, "parked")
    await handle.resolve("pay", "retry", by="ann", timeout=60)
    assert await handle.result(3600) == "receipt"
    assert payment.sent == [1, 1]
    await world.close()


async def test_each_loss_is_a_doubt_of_its_own(clock: Clock, ids: Ids) -> None:
    sent: list[int] = []

    async def pay() -> None:
        sent.append(1)
        await clock.sleep(50)

    @workflow("pay")
    async def paying(job: Job) -> None:
        await job.step("pay", pay, effect="at_most_once")

    world = World(clock, ids)
    handle = await lost(world, paying)
    await until(handle, "parked")
    await handle.resolve("pay", "retry", by="ann", timeout=60)
    while len(sent) < 2:
        await clock.sleep(0.1)
    await world.crash("b")
    await world.host("c", paying)
    while (await handle.state()).status != "parked":
        await clock.sleep(0.1)
    (wait,) = (await handle.state()).open_waits
    assert wait.opened.key == "pay/~doubt#2"
    assert len(sent) == 2
    await world.close()


async def test_whoever_can_find_out_is_asked_first(clock: Clock, ids: Ids) -> None:
    payment = Payment(clock, reconcile=lambda: "found it")
    world = World(clock, ids)
    assert await (await lost(world, payment.local())).result(3600) == "found it"
    assert payment.sent == [1]
    await world.close()


async def test_an_agent_may_be_asked_too(clock: Clock, ids: Ids) -> None:
    asked: list[str] = []

    async def pay() -> str:
        await clock.sleep(50)
        return "paid"

    @workflow("pay")
    async def paying(job: Job) -> str:
        return await job.step("pay", pay, effect="at_most_once", reconcile=lambda: job.call("ledger.find", job.id))

    def find(job: str) -> str:
        asked.append(job)
        return "in the ledger"

    world = World(clock, ids, ledger_find=find)
    handle = await lost(world, paying)
    assert await handle.result(3600) == "in the ledger"
    assert asked == [handle.id]
    assert "pay/reconcile/ledger.find" in (await handle.state()).steps
    await world.close()


async def test_what_took_no_effect_is_done_again(clock: Clock, ids: Ids) -> None:
    payment = Payment(clock, reconcile=lambda: NotDone)
    world = World(clock, ids)
    assert await (await lost(world, payment.local())).result(3600) == "receipt"
    assert payment.sent == [1, 1]
    await world.close()


async def test_whoever_cannot_find_out_leaves_it_to_a_person_who_is_told_why(clock: Clock, ids: Ids) -> None:
    def down() -> str:
        raise ConnectionError("the bank is closed")

    payment = Payment(clock, reconcile=down)
    world = World(clock, ids)
    handle = await lost(world, payment.local())
    state = await until(handle, "parked")
    assert "the bank is closed" in state.parked
    await world.close()


@pytest.mark.parametrize("kind", ["local", "call"])
async def test_a_workflow_may_take_the_doubt_itself(kind: str, clock: Clock, ids: Ids) -> None:
    payment = Payment(clock, on_doubt="raise")
    world = World(clock, ids, pay=lambda _: payment.pay())
    handle = await lost(world, payment.local() if kind == "local" else payment.call())
    with pytest.raises(InDoubt):
        await handle.result(3600)
    state = await handle.state()
    assert (state.status, state.steps["pay"].state, payment.sent) == ("failed", "failed", [1])
    entries = [record.entry.events for record in await world.reader.read("default", handle.id)]
    if kind == "local":
        assert [StepInDoubt, StepFailed] in [[type(each) for each in events] for events in entries]
    await world.close()


async def test_a_job_that_is_cancelled_while_it_is_in_doubt_leaves_the_step_so(clock: Clock, ids: Ids) -> None:
    payment = Payment(clock)
    world = World(clock, ids)
    handle = await lost(world, payment.local())
    await until(handle, "parked")
    await handle.cancel(timeout=60)
    state = await handle.watch(timeout=3600)
    assert (state.status, state.steps["pay"].state, payment.sent) == ("cancelled", "in_doubt", [1])
    await world.close()


async def test_a_typed_error_is_no_doubt(clock: Clock, ids: Ids) -> None:
    @workflow("pay")
    async def paying(job: Job) -> None:
        await job.call("pay", effect="at_most_once")

    def refuse(_: Any) -> None:
        raise Refused("no money")

    world = World(clock, ids, pay=refuse)
    await world.host("a", paying)
    with pytest.raises(Refused, match="no money"):
        await (await world.submit_job("pay")).result(60)
    await world.close()


def test_what_is_no_answer_to_a_doubt_is_refused_where_it_is_written(clock: Clock) -> None:
    from mesh.jobs.steps.doubts import Doubt
    from mesh.jobs.steps.local import contract_of

    with pytest.raises(TypeError, match="'park'"):
        Doubt(contract_of(Any), "maybe")  # type: ignore[arg-type]
