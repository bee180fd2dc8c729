"""A workflow that changed under a job: found out by name and input, told with both sides, and met by policy."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from job_stage import World

from mesh.jobs.authoring.workflow import Job, OnChange, Workflow, workflow
from mesh.jobs.replay.differences import differences
from mesh.protocols.errors import ReplayDiverged
from mesh.protocols.job_events import Parked, WaitOpened
from mesh.protocols.job_state import fold
from mesh.protocols.ports import Clock, Ids

pytestmark = pytest.mark.virtual


def flow(body: Callable[[Job], Any], on_change: OnChange = "strict") -> Workflow[Any]:
    @workflow("changing", on_change=on_change)
    async def changing(job: Job) -> Any:
        return await body(job)

    return changing


async def pays(job: Job) -> Any:
    paid = await job.call("pay", {"order": {"amount": 5, "to": "ann"}}, key="pay")
    return [paid, await job.call("slow")]


async def pays_more(job: Job) -> Any:
    paid = await job.call("pay", {"order": {"amount": 7, "to": "ann"}}, key="pay")
    return [paid, await job.call("slow")]


async def pays_otherwise(job: Job) -> Any:
    return [await job.call("pay.twice", {"order": {"amount": 5, "to": "ann"}}, key="pay"), await job.call("slow")]


async def pays_nobody(job: Job) -> Any:
    return [await job.call("slow")]


async def breaks(job: Job) -> Any:
    raise KeyError("a mistake in the new code")


def world(clock: Clock, ids: Ids) -> World:
    return World(
        clock, ids, pay=lambda given: f"paid {given['order']['amount']}", pay_twice=lambda _: "paid twice",
        slow=lambda _: clock.sleep(20),
    )  # fmt: skip


async def changed(world: World, before: Workflow[Any], after: Workflow[Any]) -> Any:
    """A job whose owner dies in its second step, taken up by a process that hosts other code."""
    await world.host("a", before)
    handle = await world.submit_job("changing")
    await world.clock.sleep(5)
    await world.crash("a")
    await world.host("b", after)
    return handle


@pytest.mark.parametrize(
    ("after", "says"),
    [
        (pays_more, "the journal has a call of 'pay' with the input .*, and the workflow now gives it .*: 5 → 7"),
        (pays_otherwise, "a call of 'pay', and the workflow now asks for a call of 'pay.twice'"),
        (breaks, "raises KeyError before it gets there"),
    ],
)
async def test_a_job_that_does_not_fit_the_new_code_is_parked_with_an_alert_and_goes_on_once_fixed(
    after: Any, says: str, clock: Clock, ids: Ids, caplog: pytest.LogCaptureFixture
) -> None:
    stage = world(clock, ids)
    handle = await changed(stage, flow(pays), flow(after))
    await clock.sleep(100)
    state = await handle.state()
    assert state.status == "parked"
    events = [event for each in await stage.reader.read("default", handle.id) for event in each.entry.events]
    parked = next(event for event in events if isinstance(event, Parked))
    opened = next(event for event in events if isinstance(event, WaitOpened))
    assert (parked.key, opened.key, opened.kind) == ("~replay", "~replay", "resolution")
    assert re.search(says, parked.reason)

    await stage.crash("b")
    await stage.host("c", flow(pays))
    await handle.resolve("~replay", how="retry", by="ann")
    assert await handle.result(200) == ["paid 5", None]
    assert len([each for each in stage.contractor.calls if each.capability == "pay"]) == 1
    await stage.close()


async def test_a_retry_with_code_that_still_does_not_fit_parks_it_again(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    handle = await changed(stage, flow(pays), flow(pays_more))
    await clock.sleep(60)
    await handle.resolve("~replay", how="retry", by="ann")
    await clock.sleep(60)
    state = await handle.state()
    assert (state.status, [each.opened.key for each in state.open_waits]) == ("parked", ["~replay#2"])
    await handle.resolve("~replay#2", how="succeeded", by="ann")
    assert await handle.result(200) == ["paid 5", None]
    await stage.close()


async def test_a_person_may_let_the_job_fail(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    handle = await changed(stage, flow(pays), flow(pays_otherwise))
    await clock.sleep(60)
    await handle.resolve("~replay", how="failed", by="ann")
    with pytest.raises(ReplayDiverged, match="new version"):
        await handle.result(200)
    await stage.close()


async def test_a_policy_may_have_it_fail_at_once(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    handle = await changed(stage, flow(pays), flow(pays_more, "fail"))
    with pytest.raises(ReplayDiverged) as caught:
        await handle.result(200)
    assert caught.value.detail["key"] == "pay"
    assert caught.value.detail["diff"] == ["$.order.amount: 5 → 7"]
    await stage.close()


@pytest.mark.parametrize("after", [pays_more, pays_otherwise])
async def test_a_policy_may_let_it_pass(after: Any, clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    handle = await changed(stage, flow(pays), flow(after, "warn"))
    assert await handle.result(200) == ["paid 5", None]
    await stage.close()


async def test_a_policy_may_have_it_done_again_beside_what_it_gave_before(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    handle = await changed(stage, flow(pays), flow(pays_more, "rerun"))
    await clock.sleep(10)
    await stage.crash("b")
    await stage.host("c", flow(pays_more, "rerun"))
    assert await handle.result(200) == ["paid 7", None]
    calls = [each for each in stage.contractor.calls if each.capability == "pay"]
    assert len({each.key for each in calls}) == len(calls) == 2
    steps = (await handle.state()).steps
    assert [each.attempt for key, each in steps.items() if key.startswith("pay")] == [1, 2]
    await stage.close()


async def test_what_may_be_done_at_most_once_is_not_done_again(clock: Clock, ids: Ids) -> None:
    async def once(job: Job) -> Any:
        return [
            await job.call("pay", {"order": {"amount": 5}}, key="pay", effect="at_most_once"),
            await job.call("slow"),
        ]

    async def more(job: Job) -> Any:
        return [
            await job.call("pay", {"order": {"amount": 6}}, key="pay", effect="at_most_once"),
            await job.call("slow"),
        ]

    stage = world(clock, ids)
    handle = await changed(stage, flow(once), flow(more, "rerun"))
    await clock.sleep(100)
    assert (await handle.state()).status == "parked"
    await stage.close()


async def test_a_step_that_nobody_asks_for_any_more_is_found_at_the_end(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    handle = await changed(stage, flow(pays), flow(pays_nobody))
    await clock.sleep(200)
    state = await handle.state()
    assert (state.status, state.parked) == (
        "parked",
        "at 'pay' the journal has it, and the workflow now ended without asking for it: give the changed workflow a new "
        "version, or guard the change with job.patched(…)",
    )
    await stage.close()


async def test_a_renamed_step_is_not_done_before_it_is_found_that_the_old_one_is_left_out(
    clock: Clock, ids: Ids
) -> None:
    async def renamed(job: Job) -> Any:
        return [await job.call("pay", {"order": {"amount": 5, "to": "ann"}}, key="charge"), await job.call("slow")]

    stage = world(clock, ids)
    handle = await changed(stage, flow(pays), flow(renamed))
    await clock.sleep(100)
    state = await handle.state()
    assert state.status == "parked"
    assert "asks for 'charge', which is new, before it does for that" in state.parked
    assert len([each for each in stage.contractor.calls if each.capability == "pay"]) == 1
    await stage.close()


@pytest.mark.parametrize("at_once", [1, 2, 3])
async def test_what_a_bound_holds_back_is_not_taken_for_left_out(at_once: int, clock: Clock, ids: Ids) -> None:
    """The first is still under way when the owner dies, and the journal does not know of it; others behind it have ended."""

    async def body(job: Job) -> Any:
        async def some(number: int) -> int:
            await clock.sleep(20 if number == 0 else 1)
            return number

        return await job.map(some, range(6), at_once=at_once)

    stage = world(clock, ids)
    handle = await changed(stage, flow(body), flow(body))
    assert await handle.result(300) == list(range(6))
    await stage.close()


async def test_what_was_stopped_with_its_siblings_is_not_missed(clock: Clock, ids: Ids) -> None:
    """Branches that ran out of time, or were stopped because another one failed, are not run again in a replay."""

    async def inner(job: Job, name: str) -> Any:
        await job.call("pay", {"order": {"amount": 1}}, key=f"first-{name}")
        return await job.call("slow", key=f"second-{name}")

    async def body(job: Job) -> Any:
        try:
            await job.gather(
                job.branch("a", inner(job, "a")), job.branch("b", inner(job, "b"), timeout=2), on_missing="raise"
            )
        except Exception:  # noqa: BLE001
            return await job.call("slow")

    stage = world(clock, ids)
    handle = await changed(stage, flow(body), flow(body))
    assert await handle.result(200) is None
    records = await stage.reader.read("default", handle.id)
    assert fold(records).status == "completed"
    await stage.close()


async def test_swallowing_the_error_does_not_help(clock: Clock, ids: Ids) -> None:
    async def swallows(job: Job) -> Any:
        for _ in range(3):
            try:
                return await job.call("pay", {"order": {"amount": 9}}, key="pay")
            except ReplayDiverged:
                await job.call("pay", {"order": {"amount": 1}}, key="another")
        return None

    stage = world(clock, ids)
    handle = await changed(stage, flow(pays), flow(swallows))
    await clock.sleep(100)
    state = await handle.state()
    assert (state.status, set(state.steps)) == ("parked", {"pay", "slow"})
    await stage.close()


async def test_a_parked_job_can_be_cancelled(clock: Clock, ids: Ids) -> None:
    stage = world(clock, ids)
    handle = await changed(stage, flow(pays), flow(pays_more))
    await clock.sleep(60)
    await handle.cancel(by="ann")
    await clock.sleep(60)
    assert (await handle.state()).status == "cancelled"
    await stage.close()


async def test_differences_are_told_place_by_place() -> None:
    before = {"a": [1, {"b": 2}], "c": "x" * 100, "same": 1}
    after = {"a": [1, {"b": 3}, 4], "c": "y", "same": 1, "new": None}
    assert differences(before, before) == []
    assert differences(before, after) == [
        "$.a[1].b: 2 → 3",
        "$.a[2]: nothing → 4",
        f'$.c: "{"x" * 58}… → "y"',
        "$.new: nothing → null",
    ]
    assert differences(list(range(20)), [0] * 20)[-1] == "… and 11 more"
