"""What a workflow may do, and what a replay of it gives."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, Missing, workflow
from mesh.protocols.constraints import Budget
from mesh.protocols.errors import (
    BadPayload,
    BadResult,
    BranchesMissing,
    BudgetExceeded,
    DeadlineExceeded,
    HandlerFailed,
    MeshError,
    NoBids,
    Refused,
    ReplayDiverged,
    StepMisused,
)
from mesh.protocols.job_state import fold
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


class Order(msgspec.Struct):
    amount: int


async def result_of(world: World, flow: Any, value: Any = None, **terms: Any) -> Any:
    await world.host("p", flow)
    handle = await world.submit_job(flow.name, value, **terms)
    try:
        return await handle.result(3600)
    finally:
        await world.close()


async def test_a_workflow_calls_agents_and_returns(clock: Clock, ids: Ids) -> None:
    @workflow("double")
    async def double(job: Job, order: Order) -> Order:
        return await job.call("double", order, returns=Order)

    world = World(clock, ids, double=lambda order: {"amount": order["amount"] * 2})
    assert await result_of(world, double, Order(amount=21)) == {"amount": 42}
    call = world.contractor.calls[0]
    assert (call.step, call.attempt, call.epoch, call.tenant) == ("double", 1, 1, "default")
    assert call.key == f"{call.job}/double"
    assert call.correlation == call.job


async def test_branches_run_at_once_and_what_fails_is_marked(clock: Clock, ids: Ids) -> None:
    @workflow("three")
    async def three(job: Job) -> list[Any]:
        results = await job.gather(
            job.call("fast", key="a"),
            job.call("slow", key="b", timeout=5),
            job.call("nobody", key="c"),
        )
        assert [type(each).__name__ for each in results] == ["str", "Missing", "Missing"]
        assert all(isinstance(each, Missing) for each in results[1:])
        return results

    async def slow(_: Any) -> str:
        await clock.sleep(60)
        return "late"

    began = clock.monotonic()
    world = World(clock, ids, fast=lambda _: "done", slow=slow)
    results = await result_of(world, three)
    assert clock.monotonic() - began < 10
    assert results[0] == "done"
    assert [(each["missing"], each["error"]["code"]) for each in results[1:]] == [
        ("b", "deadline-exceeded"),
        ("c", "no-bids"),
    ]


async def test_too_few_branches_are_an_error(clock: Clock, ids: Ids) -> None:
    @workflow("need")
    async def need(job: Job) -> list[Any]:
        return await job.gather(job.call("ok", key="a"), job.call("nobody", key="b"), need=2)

    with pytest.raises(BranchesMissing, match="1 of 2 branches succeeded, 2 are needed") as caught:
        await result_of(World(clock, ids, ok=lambda _: 1), need)
    assert caught.value.detail == {"missing": {"b": "no-bids"}}


async def test_missing_branches_can_be_dropped_or_raised(clock: Clock, ids: Ids) -> None:
    @workflow("drop")
    async def drop(job: Job) -> list[Any]:
        return await job.gather(job.call("ok", key="a"), job.call("nobody", key="b"), on_missing="drop")

    assert await result_of(World(clock, ids, ok=lambda _: 1), drop) == [1]

    @workflow("raise")
    async def raising(job: Job) -> list[Any]:
        return await job.gather(job.call("forever", key="a"), job.call("nobody", key="b"), on_missing="raise")

    with pytest.raises(NoBids):
        await result_of(World(clock, ids, forever=lambda _: clock.sleep(1e6)), raising)


@pytest.mark.parametrize("way", ["gather", "asyncio", "coroutine", "twice"])
async def test_siblings_that_could_not_be_told_apart_are_refused_with_the_fix(way: str, clock: Clock, ids: Ids) -> None:
    @workflow("siblings")
    async def siblings(job: Job) -> list[Any]:
        if way == "gather":
            return await job.gather(job.call("ok.one"), job.call("ok.two"))
        if way == "asyncio":
            return list(await asyncio.gather(job.call("ok.one"), job.call("ok.two")))
        if way == "twice":
            return await job.gather(job.call("ok.one", key="k"), job.call("ok.two", key="k"))

        async def part() -> int:
            return 1

        return await job.gather(part())  # type: ignore[arg-type]

    fixes = {"gather": 'key="one"', "asyncio": 'key="two"', "coroutine": "job.branch", "twice": "each its own"}
    with pytest.raises(StepMisused, match=fixes[way]):
        await result_of(World(clock, ids, ok_one=lambda _: clock.sleep(1), ok_two=lambda _: 2), siblings)


async def test_steps_without_keys_one_after_another_are_counted(clock: Clock, ids: Ids) -> None:
    @workflow("loop")
    async def loop(job: Job) -> list[int]:
        return [await job.call("next", number) for number in range(3)]

    world = World(clock, ids, next=lambda number: number + 1)
    assert await result_of(world, loop) == [1, 2, 3]
    assert [each.step for each in world.contractor.calls] == ["next", "next#2", "next#3"]


async def test_a_local_step_is_journaled_as_it_is_typed(clock: Clock, ids: Ids) -> None:
    def add(one: int, two: int) -> Order:
        return Order(amount=one + two)

    async def fails() -> None:
        raise KeyError("x")

    @workflow("local")
    async def local(job: Job) -> int:
        order = await job.step("add", add, 1, 2)
        assert isinstance(order, Order)
        with pytest.raises(HandlerFailed, match="KeyError"):
            await job.step("fails", fails)
        return order.amount

    world = World(clock, ids)
    assert await result_of(world, local) == 3


async def test_branches_have_keys_time_and_chance_of_their_own(clock: Clock, ids: Ids) -> None:
    seen: list[tuple[str, float]] = []

    @workflow("branches")
    async def branches(job: Job) -> list[Any]:
        async def part(name: str) -> str:
            await job.call("ok", name)
            await job.call("ok", name)
            seen.append((job.uuid(), job.random.random()))
            return name

        return await job.gather(
            job.branch("a", part("a")), job.branch("b", part("b")), job.branch("c", slow_part(job), timeout=3)
        )

    async def slow_part(job: Job) -> str:
        await job.call("slow")
        return "never"

    world = World(clock, ids, ok=lambda name: name, slow=lambda _: clock.sleep(100))
    results = await result_of(world, branches)
    assert results[:2] == ["a", "b"]
    assert results[2]["error"]["code"] == "deadline-exceeded"
    assert sorted(each.step for each in world.contractor.calls) == ["a/ok", "a/ok#2", "b/ok", "b/ok#2", "c/slow"]
    assert len(set(seen)) == 2


async def test_a_bad_result_is_the_workflows_failure(clock: Clock, ids: Ids) -> None:
    @workflow("bad")
    async def bad(job: Job) -> int:
        return "no number"  # type: ignore[return-value]

    with pytest.raises(BadResult):
        await result_of(World(clock, ids), bad)


async def test_whatever_a_workflow_raises_is_journaled(clock: Clock, ids: Ids) -> None:
    @workflow("bug")
    async def bug(job: Job) -> int:
        return 1 // 0

    with pytest.raises(HandlerFailed, match="ZeroDivisionError") as caught:
        await result_of(World(clock, ids), bug)
    assert "test_workflows.py" in caught.value.detail["where"]


async def test_the_jobs_deadline_ends_it_whatever_it_waits_for(clock: Clock, ids: Ids) -> None:
    @workflow("endless")
    async def endless(job: Job) -> None:
        assert job.deadline is not None
        await job.call("forever", timeout=1000)

    began = clock.monotonic()
    with pytest.raises(DeadlineExceeded):
        await result_of(World(clock, ids, forever=lambda _: clock.sleep(1e6)), endless, deadline=7)
    assert clock.monotonic() - began == pytest.approx(7, abs=1)


async def test_a_budget_is_used_up_by_the_steps(clock: Clock, ids: Ids) -> None:
    @workflow("dear")
    async def dear(job: Job) -> int:
        for number in range(10):
            await job.call("ok", number)
        return 1

    world = World(clock, ids, ok=lambda _: 1)
    with pytest.raises(BudgetExceeded):
        await result_of(world, dear, budget=Budget(money=0.35))
    assert len(world.contractor.calls) == 4
    assert world.contractor.calls[1].constraints.budget.money == pytest.approx(0.25)


async def test_a_call_may_only_narrow_what_the_submitter_demands(clock: Clock, ids: Ids) -> None:
    @workflow("narrow")
    async def narrow(job: Job) -> int:
        await job.call("ok", labels={"gpu": "yes"})
        return await job.call("ok", labels={"region": "us"})

    world = World(clock, ids, ok=lambda _: 1)
    with pytest.raises(Refused, match="region"):
        await result_of(world, narrow, labels={"region": "eu"}, priority=1)
    assert world.contractor.calls[0].constraints.labels == {"region": "eu", "gpu": "yes"}
    assert world.contractor.calls[0].constraints.priority == 1


async def test_large_inputs_and_results_go_by_reference(clock: Clock, ids: Ids) -> None:
    @workflow("large")
    async def large(job: Job, text: str) -> str:
        bigger = await job.call("bigger", text, returns=str)
        artifact = await job.put_artifact("big.text", bigger)
        assert artifact.content_ref
        assert job.artifact(artifact.id) == artifact
        return bigger

    world = World(clock, ids, bigger=lambda text: text * 2)
    assert await result_of(world, large, "x" * 100_000) == "x" * 200_000
    record = (await world.reader.heads())[0]
    entries = await world.reader.read("default", record.entry.job)
    assert sum(len(msgspec.json.encode(each.entry)) for each in entries) < 10_000


async def test_a_job_whose_owner_died_goes_on_elsewhere_and_no_ended_step_runs_again(clock: Clock, ids: Ids) -> None:
    done: list[str] = []
    told: list[Any] = []

    @workflow("walk")
    async def walk(job: Job) -> list[Any]:
        first = await job.step("first", lambda: done.append("first") or 1)
        job.progress("half")
        about = [job.now(), job.uuid(), job.random.random(), job.usage.money]
        told.append(about)
        parts = await job.gather(*(job.call("part", key=name) for name in "abc"))
        put = await job.put_artifact("walk.report", parts)
        last = await job.call("last")
        return [first, parts, last, put.id, job.usage.money]

    async def last(_: Any) -> str:
        done.append("last")
        await clock.sleep(20)
        return "end"

    def part(_: Any) -> str:
        done.append("part")
        return "p"

    world = World(clock, ids, part=part, last=last)
    await world.host("a", walk)
    await world.host("b", walk)
    handle = await world.submit_job("walk")
    await clock.sleep(10)
    owner = (await handle.state()).head
    assert owner
    await world.crash(owner.owner)
    result = await handle.result(100)
    assert done == ["first", "part", "part", "part", "last", "last"]
    assert told[0] == told[1]
    state = await handle.state()
    assert result[:3] == [1, ["p", "p", "p"], "end"]
    assert result[4] == pytest.approx(0.4)
    assert [each.text for each in state.progress] == ["half"]
    assert (state.epoch, state.steps["last"].attempt, len(state.artifacts)) == (2, 2, 1)
    await world.close()


async def test_a_failed_step_fails_the_same_way_in_the_replay(clock: Clock, ids: Ids) -> None:
    calls: list[int] = []

    @workflow("caught")
    async def caught(job: Job) -> str:
        try:
            await job.call("fails")
        except MeshError as error:
            await job.call("slow")
            return error.code
        return "no"

    def fails(_: Any) -> None:
        calls.append(1)
        raise Refused("no", detail={"reason": "declined"})

    world = World(clock, ids, fails=fails, slow=lambda _: clock.sleep(20))
    await world.host("a", caught)
    handle = await world.submit_job("caught")
    await clock.sleep(5)
    await world.crash("a")
    await world.host("b", caught)
    assert await handle.result(100) == "refused"
    assert len(calls) == 1
    await world.close()


async def test_a_workflow_that_changed_under_a_running_job_is_found_out(clock: Clock, ids: Ids) -> None:
    @workflow("changing")
    async def before(job: Job) -> int:
        await job.call("one", key="k")
        return await job.call("slow")

    @workflow("changing", on_change="fail")
    async def after(job: Job) -> int:
        return await job.call("two", key="k")

    world = World(clock, ids, one=lambda _: 1, two=lambda _: 2, slow=lambda _: clock.sleep(50))
    await world.host("a", before)
    handle = await world.submit_job("changing")
    await clock.sleep(5)
    await world.crash("a")
    await world.host("b", after)
    with pytest.raises(ReplayDiverged, match=r"'one'.*'two'"):
        await handle.result(100)
    await world.close()


async def test_losing_the_job_cannot_be_swallowed(clock: Clock, ids: Ids) -> None:
    """`gather(return_exceptions=True)` and a broad `except` catch LeaseLost; nothing happens all the same."""
    after: list[str] = []

    @workflow("swallow")
    async def swallow(job: Job) -> str:
        owner = len(after)
        after.append("begun")
        await asyncio.gather(job.call("slow", key="a"), job.call("slow", key="b"), return_exceptions=True)
        for number in range(3):
            try:
                await job.call("ok", key=f"more{number}")
            except Exception:  # noqa: BLE001
                after.append(f"refused {owner}")
        return f"by {owner}"

    world = World(clock, ids, slow=lambda _: clock.sleep(10), ok=lambda _: 1)
    await world.host("a", swallow)
    handle = await world.submit_job("swallow")
    await clock.sleep(2)
    world.dead.add("a-1")
    await world.host("b", swallow)
    assert await handle.result(100) == "by 1"
    await clock.sleep(30)
    records = await world.reader.read("default", handle.id)
    assert not fold(records).void
    assert {each.entry.owner for each in records if each.entry.epoch == 2} == {"b"}
    await world.close()


async def test_a_bad_input_is_refused_before_a_job_exists(clock: Clock, ids: Ids) -> None:
    @workflow("typed")
    async def typed(job: Job, order: Order) -> int:
        return order.amount

    with pytest.raises(BadPayload, match="amount"):
        await result_of(World(clock, ids), typed, {"amount": "many"})


async def test_missing_is_plain_json(clock: Clock, ids: Ids) -> None:
    marker = Missing(key="security", error=NoBids("nobody").fault())
    assert msgspec.to_builtins(marker) == {
        "missing": "security",
        "error": {"code": "no-bids", "error_class": "semantic", "message": "nobody"},
    }


async def test_a_step_waits_for_agents_that_are_only_busy_but_not_for_ones_that_are_not_there(
    clock: Clock, ids: Ids
) -> None:
    asked: list[float] = []

    def busy(_: Any) -> str:
        asked.append(clock.monotonic())
        if len(asked) < 6:
            raise NoBids("no room", detail={"refusals": ["a.1: capacity: 2 waiting or running"]})
        return "done"

    @workflow("patient")
    async def patient(job: Job) -> list[Any]:
        return await job.gather(job.call("busy", key="busy"), job.call("nobody", key="nobody"))

    began = clock.monotonic()
    results = await result_of(World(clock, ids, busy=busy), patient)
    assert (results[0], results[1]["error"]["code"]) == ("done", "no-bids")
    assert len(asked) == 6
    assert clock.monotonic() - began < 20


async def test_a_busy_agent_is_waited_for_until_the_steps_deadline(clock: Clock, ids: Ids) -> None:
    def busy(_: Any) -> str:
        raise NoBids("no room", detail={"refusals": ["a.1: capacity: 2 waiting or running"]})

    @workflow("patient")
    async def patient(job: Job) -> str:
        return await job.call("busy", timeout=12)

    began = clock.monotonic()
    with pytest.raises(NoBids, match="no room"):
        await result_of(World(clock, ids, busy=busy), patient)
    assert 5 < clock.monotonic() - began < 13
