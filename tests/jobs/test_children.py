"""A job may begin others and wait for them: each once, whoever dies, and nobody else's job counts for it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.journals.streams import INBOX
from mesh.jobs.outside.submission import JobHandle
from mesh.jobs.waiting.inbox import ANEW_WITHIN, CHILD_PATIENCE
from mesh.protocols.constraints import Budget
from mesh.protocols.errors import BudgetExceeded, Cancelled, DeadlineExceeded, MeshError, Refused
from mesh.protocols.job_inbox import ChildEnded
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Clock, Ids
from mesh.protocols.submission import Terms, headers_of, terms_of

pytestmark = pytest.mark.virtual


class Order(msgspec.Struct):
    amount: int


@workflow("double")
async def double(job: Job, order: Order) -> Order:
    await job.call("work")
    if order.amount < 0:
        raise Refused("a negative amount")
    return Order(amount=order.amount * 2)


@workflow("parent")
async def parent(job: Job, amount: int) -> int:
    order = await job.child(double, Order(amount=amount), key="double")
    return order.amount


@workflow("patient")
async def patient(job: Job) -> str:
    return str(await job.wait("go"))


@workflow("guardian")
async def guardian(job: Job) -> str:
    return await job.child("patient", key="ward", returns=str, timeout=3600)


async def child_of(world: World, handle: JobHandle, key: str) -> JobHandle:
    """The child that the job waits for under this key, once it is journaled."""
    for _ in range(1000):
        wait = (await handle.state()).waits.get(key)
        if wait is not None and await world.reader.last("default", wait.opened.child):
            return JobHandle(world.client, wait.opened.child)
        await world.clock.sleep(0.1)
    raise AssertionError(await handle.state())


async def until(handle: JobHandle, status: str) -> JobState:
    """Its state once that is what it is in, now."""
    for _ in range(1000):
        state = await handle.state()
        if state.status == status:
            return state
        await handle._client.clock.sleep(0.1)
    raise AssertionError(f"{state.status}: {state.fault}")


async def test_a_child_gives_its_result_and_no_process_holds_the_parent_meanwhile(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids, work=lambda _: clock.sleep(20))
    await world.host("p", parent, double)
    handle = await world.submit_job("parent", {"amount": 21}, budget=Budget(money=5.0), labels={"region": "eu"})
    child = await child_of(world, handle, "double")
    await until(handle, "waiting")
    assert await handle.result(3600) == 42
    submitted = (await child.state()).submitted
    assert submitted is not None
    assert submitted.parent is not None
    assert (submitted.parent.job, submitted.parent.wait, submitted.parent.tenant) == (handle.id, "double", "default")
    assert submitted.constraints.budget.money == 5.0
    assert submitted.constraints.labels == {"region": "eu"}
    assert (submitted.correlation, submitted.causation) == (handle.id, handle.id)
    await world.close()


async def test_what_a_child_uses_counts_for_its_parent(clock: Clock, ids: Ids) -> None:
    @workflow("twice")
    async def twice(job: Job) -> int:
        for key in ("one", "two"):
            await job.child(double, Order(amount=1), key=key)
        return 2

    world = World(clock, ids, work=lambda _: None)
    await world.host("p", twice, double)
    handle = await world.submit_job("twice", budget=Budget(money=1.0))
    assert await handle.result(3600) == 2
    assert (await handle.state()).usage.money == pytest.approx(0.2)
    budgets = []
    for key in ("one", "two"):
        submitted = (await (await child_of(world, handle, key)).state()).submitted
        assert submitted is not None
        budgets.append(submitted.constraints.budget.money)
    assert budgets == [pytest.approx(1.0), pytest.approx(0.9)]

    spent = await world.submit_job("twice", budget=Budget(money=0.05))
    with pytest.raises(BudgetExceeded):
        await spent.result(3600)
    await world.close()


async def test_the_childs_own_typed_error_is_raised_in_the_parent(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids, work=lambda _: None)
    await world.host("p", parent, double)
    with pytest.raises(Refused, match="a negative amount"):
        await (await world.submit_job("parent", {"amount": -1})).result(3600)
    await world.close()


@pytest.mark.parametrize("seconds", [0.0, 0.05, 5.0, 20.1])
async def test_whoever_dies_there_is_one_child_and_its_answer_arrives(seconds: float, clock: Clock, ids: Ids) -> None:
    world = World(clock, ids, work=lambda _: clock.sleep(20))
    await world.host("a", parent)
    await world.host("b", double)
    handle = await world.submit_job("parent", {"amount": 21})
    await clock.sleep(seconds)
    await world.crash("a")
    await world.crash("b")
    await world.host("c", parent, double)
    assert await handle.result(3600) == 42
    assert len(await world.reader.heads()) == 2
    await world.close()


async def test_a_child_that_nobody_hosts_yet_waits_in_the_ingress(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids, work=lambda _: None)
    await world.host("x", double)
    await world.crash("x")
    await world.host("p", parent)
    handle = await world.submit_job("parent", {"amount": 21})
    await until(handle, "waiting")
    await world.host("q", double)
    assert await handle.result(3600) == 42
    await world.close()


async def test_a_child_that_cannot_be_handed_in_fails_at_once(clock: Clock, ids: Ids) -> None:
    @workflow("wrong")
    async def wrong(job: Job, what: str) -> Any:
        return await job.child("double" if what == "input" else "nothing", {"amount": "many"})

    world = World(clock, ids, work=lambda _: None)
    await world.host("p", wrong, double)
    for what, code in (("input", "bad-payload"), ("name", "unknown-workflow")):
        with pytest.raises(MeshError) as caught:
            await (await world.submit_job("wrong", {"what": what})).result(60)
        assert caught.value.code == code
    await world.close()


async def test_a_child_whose_input_fits_nobody_later_fails_its_parent_too(clock: Clock, ids: Ids) -> None:
    @workflow("wrong")
    async def wrong(job: Job) -> Any:
        return await job.child("double", {"amount": "many"})

    world = World(clock, ids, work=lambda _: None)
    await world.host("x", double)
    await world.crash("x")
    await world.host("p", wrong)
    handle = await world.submit_job("wrong")
    await until(handle, "waiting")
    await world.host("q", double)
    with pytest.raises(MeshError) as caught:
        await handle.result(3600)
    assert caught.value.code == "bad-payload"
    await world.close()


async def test_a_child_that_takes_too_long_is_cancelled(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids)
    await world.host("p", guardian, patient)
    handle = await world.submit_job("guardian")
    child = await child_of(world, handle, "ward")
    with pytest.raises(DeadlineExceeded):
        await handle.result(7200)
    assert (await child.watch(timeout=3600)).status in ("failed", "cancelled")
    await world.close()


@pytest.mark.parametrize("owned", [True, False])
async def test_what_is_said_to_a_parent_reaches_its_child(owned: bool, clock: Clock, ids: Ids) -> None:
    @workflow("busy")
    async def busy(job: Job) -> Any:
        return await job.gather(job.child("patient", key="ward"), job.call("work", key="work", timeout=9e9))

    world = World(clock, ids, work=lambda _: clock.sleep(1e6))
    await world.host("p", busy, guardian, patient)
    handle = await world.submit_job("busy" if owned else "guardian")
    child = await child_of(world, handle, "ward")
    await until(child, "waiting")
    await until(handle, "running" if owned else "waiting")
    assert (await handle.pause(by="ann", timeout=60)).taken
    assert (await until(child, "paused")).pause is not None
    assert (await handle.resume(by="ann", timeout=60)).taken
    await until(child, "waiting")
    assert (await handle.cancel(by="ann", timeout=60)).taken
    assert (await child.watch(timeout=3600)).status == "cancelled"
    with pytest.raises(Cancelled):
        await handle.result(3600)
    await world.close()


async def test_a_child_that_nobody_waits_for_any_more_is_cancelled(clock: Clock, ids: Ids) -> None:
    @workflow("first")
    async def first(job: Job) -> list[Any]:
        return await job.gather(job.child("patient", key="ward"), job.call("work", key="n"), on_missing="raise")

    async def fails(_: Any) -> None:
        await clock.sleep(10)
        raise Refused("no")

    world = World(clock, ids, work=fails)
    await world.host("p", first, patient)
    handle = await world.submit_job("first")
    child = await child_of(world, handle, "ward")
    assert (await handle.watch(timeout=3600)).status == "failed"
    assert (await child.watch(timeout=3600)).status == "cancelled"
    await world.close()


async def test_nobody_elses_job_counts_for_the_child(clock: Clock, ids: Ids) -> None:
    world = World(clock, ids, work=lambda _: None)
    await world.host("p", guardian, patient, double)
    handle = await world.submit_job("guardian")
    await child_of(world, handle, "ward")
    await until(handle, "waiting")
    forged = headers_of(Terms(key="forged", parent=handle.id, wait="ward"))
    await world.client.store.append(world.subjects.ingress("default", "double"), b'{"amount": 1}', headers=forged)
    said = msgspec.json.encode(ChildEnded(key="ward", job="jforged"))
    await world.client.store.append(world.subjects.inbox("default", handle.id), said)
    await clock.sleep(60)
    state = await handle.state()
    assert (state.status, state.inbox > 0) == ("waiting", True)
    assert state.waits["ward"].answer is None
    await handle.cancel(timeout=60)
    await handle.watch(timeout=60)
    await world.close()


def test_a_parent_is_written_in_a_header_whatever_its_wait_is_called() -> None:
    terms = Terms(key="k", parent="jabc", wait="a branch/Prüfung ✓#2")
    assert terms_of(headers_of(terms)) == terms
    with pytest.raises(MeshError, match="mesh-parent"):
        terms_of({"Mesh-Parent": "not.a.job x"})


async def test_a_child_that_said_it_ends_and_does_not_is_not_asked_after_for_ever(clock: Clock, ids: Ids) -> None:
    """Its owner was lost between the word and the deed, and nobody hosts its workflow any more: every question is an entry."""
    world = World(clock, ids)
    await world.host("p", guardian)
    lost = await world.host("lost", patient)
    handle = await world.submit_job("guardian")
    await clock.sleep(5)
    await lost.drain()
    (wait,) = (await handle.state()).open_waits
    said = msgspec.json.encode(ChildEnded(key=wait.opened.key, job=wait.opened.child))
    await world.client.store.append(world.subjects.inbox("default", handle.id), said)
    await clock.sleep(3000)
    assert (await handle.state()).events < 2 * ANEW_WITHIN / CHILD_PATIENCE
    told = len(await world.client.store.read(world.subjects.stream(INBOX), world.subjects.inbox("default", handle.id)))
    await clock.sleep(300)
    later = await world.client.store.read(world.subjects.stream(INBOX), world.subjects.inbox("default", handle.id))
    assert len(later) == told
    await world.host("q", patient)
    await JobHandle(world.client, wait.opened.child).signal("go", "well")
    assert await handle.result(100) == "well"
    await world.close()
