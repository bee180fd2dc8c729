"""A fork has done what the original had done before one of its steps, and goes on from there; the original stays as it is."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.handle import JobHandle
from mesh.jobs.replay.comparing import compare
from mesh.jobs.replay.forking import Fork, Forking, changed_input
from mesh.jobs.replay.replaying import replay
from mesh.protocols.errors import BadPayload, KeyReused, Refused
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


@workflow("order")
async def order(job: Job, item: str, amount: int) -> dict[str, Any]:
    price = await job.call("price", item, key="price")
    parts = await job.gather(job.call("check", amount, key="stock"), job.step("tax", lambda price: price / 10, price))
    approved = await job.approval("buy", {"item": item})
    paid = await job.call("pay", {"total": price * amount}, key="pay", effect="idempotent")
    note = await job.call("write", {"paid": paid, "id": job.uuid()}, key="note")
    return {"parts": parts, "by": approved.by, "paid": paid, "note": note}


def world(clock: Clock, ids: Ids) -> World:
    return World(
        clock, ids, price=lambda item: len(item), check=lambda amount: amount < 5, pay=lambda given: f"paid {given['total']}",
        write=lambda given: f"a note: {given['paid']}", write_better=lambda given: f"a better note: {given['paid']}",
    )  # fmt: skip


async def ordered(world: World) -> Any:
    """A job that is done, and its records."""
    await world.host("p", order)
    handle = await world.submit_job("order", {"item": "tea", "amount": 2})
    await world.clock.sleep(5)
    (wait,) = (await handle.state()).open_waits
    await handle.approve("buy", digest=wait.opened.digest, by="ann")
    await handle.result(100)
    return handle, await world.reader.read("default", handle.id)


def handle_of(world: World, job: str) -> JobHandle:
    return JobHandle(world.client, job)  # type: ignore[arg-type]


def called(world: World) -> list[str]:
    return [each.capability for each in world.contractor.calls]


async def test_what_came_before_is_given_and_the_step_and_what_follows_is_done(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    handle, records = await ordered(stage)
    before = len(stage.contractor.calls)
    forking = Forking(records, Fork(at="note"))
    plan = forking.plan()
    assert (set(plan.kept), plan.stubbed, plan.redone) == ({"price", "stock", "tax", "buy", "pay"}, (), ("note",))
    assert await forking.begin(stage.client) == plan  # type: ignore[arg-type]
    fork = handle_of(stage, plan.job)
    assert (await fork.result(100))["note"] == "a note: paid 6"
    assert called(stage)[before:] == ["write"]
    state = await fork.state()
    assert state.forked is not None
    assert (state.forked.job, state.forked.at) == (handle.id, "note")
    assert await stage.reader.read("default", handle.id) == records
    assert (await replay(await stage.reader.read("default", fork.id), order)).ok
    await stage.close()


async def test_the_same_fork_is_one_job_and_another_one_is_another(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    _, records = await ordered(stage)
    first = await Forking(records, Fork(at="note")).begin(stage.client)  # type: ignore[arg-type]
    again = await Forking(records, Fork(at="note")).begin(stage.client)  # type: ignore[arg-type]
    assert (first.job, first.duplicate, again.duplicate) == (again.job, False, True)
    assert Forking(records, Fork(at="pay")).job != first.job
    with pytest.raises(KeyReused):
        await Forking(records, Fork(at="pay", key=Forking(records, Fork(at="note")).key)).begin(stage.client)  # type: ignore[arg-type]
    await stage.close()


async def test_another_input_is_what_the_rest_is_done_with(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    handle, records = await ordered(stage)
    value = changed_input({"item": "tea", "amount": 2}, {"amount": 7})
    forking = Forking(records, Fork(at="stock", input=value, effects=True, changes=("amount=7",)))
    assert set(forking.plan().kept) == {"price"}
    plan = await forking.begin(stage.client)  # type: ignore[arg-type]
    fork = handle_of(stage, plan.job)
    await clock.sleep(5)
    (wait,) = (await fork.state()).open_waits
    await fork.approve("buy", digest=wait.opened.digest, by="bob")
    result = await fork.result(100)
    assert (result["parts"][0], result["paid"]) == (False, "paid 21")

    values = Values(stage.client.store, stage.client.subjects, clock)
    found = await compare(await handle.state(), await fork.state(), values)
    assert found["input"] == ["$.amount: 2 → 7"]
    assert {each["key"]: each["change"] for each in found["steps"]} == {
        "price": "same", "stock": "output", "tax": "same", "pay": "output", "note": "output",
    }  # fmt: skip
    assert found["outcome"]["diff"][0] == '$.by: "ann" → "bob"'
    assert found["b"]["changes"] == ["amount=7"]
    await stage.close()


async def test_what_touches_the_world_outside_gives_what_it_gave(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    _, records = await ordered(stage)
    before = len(stage.contractor.calls)
    forking = Forking(records, Fork(at="pay"))
    assert (forking.plan().stubbed, forking.plan().redone) == (("pay",), ("note",))
    plan = await forking.begin(stage.client)  # type: ignore[arg-type]
    assert (await handle_of(stage, plan.job).result(100))["paid"] == "paid 6"
    assert called(stage)[before:] == ["write"]

    allowed = await Forking(records, Fork(at="pay", effects=True)).begin(stage.client)  # type: ignore[arg-type]
    await handle_of(stage, allowed.job).result(100)
    assert called(stage)[before + 1 :] == ["pay", "write"]
    assert len({each.key for each in stage.contractor.calls if each.capability == "pay"}) == 2
    await stage.close()


async def test_an_effect_that_there_is_no_outcome_of_is_refused(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    await stage.host("p", order)
    handle = await stage.submit_job("order", {"item": "tea", "amount": 2})
    await clock.sleep(5)
    plan = await Forking(await stage.reader.read("default", handle.id), Fork(at="price")).begin(stage.client)  # type: ignore[arg-type]
    fork = handle_of(stage, plan.job)
    await clock.sleep(5)
    (wait,) = (await fork.state()).open_waits
    await fork.approve("buy", digest=wait.opened.digest, by="ann")
    with pytest.raises(Refused, match="--allow-effects"):
        await fork.result(100)
    assert "pay" not in called(stage)
    await stage.close()


async def test_another_agent_may_be_called_instead_in_this_job_only(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    _, records = await ordered(stage)
    plan = await Forking(records, Fork(at="note", instead={"write": "write.better"})).begin(stage.client)  # type: ignore[arg-type]
    assert (await handle_of(stage, plan.job).result(100))["note"] == "a better note: paid 6"
    assert called(stage)[-1] == "write.better"
    await stage.close()


async def test_a_fork_of_much_begins_with_an_object_and_survives_its_owner(clock: Clock, ids: Ids) -> None:
    @workflow("large")
    async def large(job: Job) -> int:
        parts = [await job.call("text", number, key=f"text-{number}", returns=str) for number in range(4)]
        return sum(map(len, parts)) + len(await job.call("last", key="last", returns=str))

    async def last(_: Any) -> str:
        await clock.sleep(10)
        return "x"

    stage = World(clock, ids, text=lambda number: str(number) * 30_000, last=last)
    await stage.host("a", large)
    handle = await stage.submit_job("large")
    assert await handle.result(100) == 120_001
    plan = await Forking(await stage.reader.read("default", handle.id), Fork(at="last")).begin(stage.client)  # type: ignore[arg-type]
    await clock.sleep(5)
    await stage.crash("a")
    await stage.host("b", large)
    fork = handle_of(stage, plan.job)
    assert await fork.result(100) == 120_001
    assert [each.capability for each in stage.contractor.calls].count("text") == 4
    state = await fork.state()
    assert (state.forked is not None, state.unreadable, len(state.steps)) == (True, "", 5)
    await stage.close()


async def test_a_step_it_never_came_to_is_told_with_those_it_came_to(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    _, records = await ordered(stage)
    with pytest.raises(BadPayload, match="never came to 'nothing'; it came to price, stock, tax"):
        Forking(records, Fork(at="nothing"))
    await stage.close()


def test_fields_are_set_by_path() -> None:
    value = {"a": {"b": [1, 2]}, "c": 1}
    assert changed_input(value, {"a.b.1": 5, "new": None, "c": {"d": 1}}) == {
        "a": {"b": [1, 5]},
        "c": {"d": 1},
        "new": None,
    }
    assert value["c"] == 1
    for path in ("a.x.y", "a.b.7", "c.d", "a.b.x"):
        with pytest.raises(BadPayload, match="has no place"):
            changed_input(value, {path: 1})
