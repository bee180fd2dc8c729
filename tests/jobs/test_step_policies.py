"""What a step's policy makes of a timeout and of an answer that is no good, and that the journal alone decides in a replay."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_stage import FakeContractor, World

from mesh.contract_net.calls import Call
from mesh.jobs.authoring.policy import NO_POLICY, StepPolicy
from mesh.jobs.authoring.workflow import Job, Missing, workflow
from mesh.jobs.replay.replaying import replay
from mesh.jobs.steps.onward import Plan, stance_of
from mesh.protocols.errors import BadResult, Cancelled, DeadlineExceeded, HandlerFailed, MeshError, NoBids, StepMisused
from mesh.protocols.job_state import JobState
from mesh.protocols.job_step_state import Try
from mesh.protocols.ports import Clock, Ids
from mesh.resilience.fallback import FallbackAgent
from mesh.resilience.variation import Variation

pytestmark = pytest.mark.virtual


async def done(world: World, flow: Any, value: Any = None, **terms: Any) -> tuple[Any, JobState]:
    """The result, what the journal amounts to, and that a replay of it gives the same."""
    await world.host("p", flow)
    handle = await world.submit_job(flow.name, value, **terms)
    try:
        return await handle.result(36_000), await handle.state()
    finally:
        report = await replay(await world.reader.read("default", handle.id), flow)
        await world.close()
        assert report.ok, report


class Slow:
    """An agent that takes too long, so many times."""

    def __init__(self, clock: Clock, times: int) -> None:
        self.clock, self.times, self.at = clock, times, []

    async def __call__(self, _: Any) -> str:
        self.at.append(self.clock.monotonic())
        if len(self.at) <= self.times:
            await self.clock.sleep(1e6)
        return "done"


async def test_a_step_that_runs_out_of_time_fails_unless_its_policy_says_otherwise(clock: Clock, ids: Ids) -> None:
    @workflow("plain")
    async def plain(job: Job) -> str:
        return await job.call("slow", returns=str, timeout=5)

    slow = Slow(clock, 1)
    with pytest.raises(DeadlineExceeded):
        await done(World(clock, ids, slow=slow), plain)
    assert len(slow.at) == 1


async def test_retry_does_it_again_at_once_and_each_attempt_is_journaled(clock: Clock, ids: Ids) -> None:
    @workflow("again")
    async def again(job: Job) -> str:
        return await job.call("slow", returns=str, timeout=5, policy=StepPolicy(on_timeout="retry", attempts=3))

    slow, world = Slow(clock, 2), World(clock, ids, slow=Slow(clock, 0))
    world.contractor.capabilities["slow"] = slow
    result, state = await done(world, again)
    assert result == "done"
    step = state.steps["slow"]
    assert [(each.attempt, each.onward, each.fault.code) for each in step.tries] == [
        (1, "retry", "deadline-exceeded"),
        (2, "retry", "deadline-exceeded"),
    ]
    assert slow.at[2] - slow.at[0] < 12
    assert {call.key for call in world.contractor.calls} == {f"{state.job}/slow"}, (
        "one key for all: it is the same step"
    )


async def test_after_its_last_attempt_the_step_fails_with_its_own_error(clock: Clock, ids: Ids) -> None:
    @workflow("again")
    async def again(job: Job) -> str:
        return await job.call("slow", returns=str, timeout=5, policy=StepPolicy(on_timeout="retry", attempts=2))

    slow = Slow(clock, 9)
    with pytest.raises(DeadlineExceeded):
        await done(World(clock, ids, slow=slow), again)
    assert len(slow.at) == 2


async def test_back_off_lets_go_of_the_job_for_a_long_pause_and_another_owner_goes_on(clock: Clock, ids: Ids) -> None:
    policy = StepPolicy(on_timeout="back_off", attempts=2, first=4000, longest=4000)

    @workflow("patient")
    async def patient(job: Job) -> str:
        return await job.call("slow", returns=str, timeout=5, policy=policy)

    slow = Slow(clock, 1)
    world = World(clock, ids, slow=slow)
    await world.host("p", patient, look_every=1.0)
    handle = await world.submit_job("patient")
    while (await handle.state()).status != "waiting":
        await clock.sleep(1)
    state = await handle.state()
    until = state.steps["slow"].tries[0].until
    assert [each.opened.until for each in state.open_waits] == [until]
    await world.crash("p")
    await world.host("q", patient, look_every=1.0)
    assert await handle.result(36_000) == "done"
    assert world.clock.now() >= until
    report = await replay(await world.reader.read("default", handle.id), patient)
    await world.close()
    assert report.ok, report


async def test_a_short_pause_is_waited_for_by_the_owner(clock: Clock, ids: Ids) -> None:
    @workflow("patient")
    async def patient(job: Job) -> str:
        policy = StepPolicy(on_timeout="back_off", attempts=2, first=4, longest=4)
        return await job.step("slow", Slow(clock, 1), None, timeout=5, policy=policy)

    _, state = await done(World(clock, ids), patient)
    assert not state.waits
    assert state.epoch == 1


async def test_skip_gives_a_mark_now_and_in_every_replay(clock: Clock, ids: Ids) -> None:
    @workflow("skipping", policy=StepPolicy(on_timeout="skip"))
    async def skipping(job: Job) -> list[Any]:
        one = await job.call("slow", key="one", timeout=5)
        assert isinstance(one, Missing)
        branches = (job.call(each, key=each, timeout=5) for each in ("slow", "fine"))
        return [one.key, *await job.gather(*branches, on_missing="drop", need=1)]

    result, state = await done(World(clock, ids, slow=Slow(clock, 9), fine=lambda _: "fine"), skipping)
    assert result == ["one", "fine"]
    assert (state.steps["one"].state, state.steps["one"].skipped) == ("failed", True)


async def test_a_skipped_branch_counts_as_missing(clock: Clock, ids: Ids) -> None:
    @workflow("skipping", policy=StepPolicy(on_timeout="skip"))
    async def skipping(job: Job) -> list[Any]:
        return await job.map("slow", [1, 2], timeout=5, need=2)

    with pytest.raises(MeshError, match="0 of 2 branches succeeded"):
        await done(World(clock, ids, slow=Slow(clock, 9)), skipping)


async def test_an_answer_that_is_no_good_is_not_asked_for_again_but_varied_in_order(clock: Clock, ids: Ids) -> None:
    asked: list[Any] = []

    def write(prompt: str) -> str:
        asked.append(("write", prompt))
        raise BadResult(f"no verdict for {prompt!r}")

    def senior(prompt: str) -> str:
        asked.append(("senior", prompt))
        return "a verdict"

    vary = (
        Variation(payload="shorter", labels={"tier": "large"}),
        Variation(target="senior"),
        Variation(target="never"),
    )

    @workflow("vary")
    async def varying(job: Job) -> str:
        return await job.call("write", "long", returns=str, policy=StepPolicy(vary=vary))

    world = World(clock, ids, write=write, senior=senior)
    result, state = await done(world, varying)
    assert result == "a verdict"
    assert asked == [("write", "long"), ("write", "shorter"), ("senior", "long")]
    assert [(each.onward, each.number, each.what) for each in state.steps["write"].tries] == [
        ("vary", 1, vary[0].words),
        ("vary", 2, "asking senior"),
    ]
    assert world.contractor.calls[1].constraints.labels == {"tier": "large"}
    assert [call.key.partition("/")[2] for call in world.contractor.calls] == [
        "write",
        "write/~vary#1",
        "write/~vary#2",
    ], "what is asked differently is another effect"


async def test_a_function_of_the_error_may_vary_a_step_of_this_process(clock: Clock, ids: Ids) -> None:
    def parse(text: str) -> int:
        if not text.isdigit():
            raise ValueError(f"no number: {text}")
        return int(text)

    def vary(error: MeshError, number: int) -> Variation | None:
        return Variation(payload=[error.message.rpartition(" ")[2].strip("!")]) if number == 1 else None

    @workflow("parse")
    async def parsing(job: Job) -> int:
        return await job.step("parse", parse, "42!", policy=StepPolicy(vary=vary))

    assert (await done(World(clock, ids), parsing))[0] == 42


async def test_an_owner_that_dies_between_two_attempts_is_succeeded_by_one_that_makes_the_next(
    clock: Clock, ids: Ids
) -> None:
    asked: list[str] = []

    async def work(prompt: str) -> str:
        asked.append(prompt)
        if prompt == "long":
            raise BadResult("no")
        if len(asked) == 2:
            await clock.sleep(1e6)
        return prompt

    @workflow("vary")
    async def varying(job: Job) -> str:
        return await job.step("work", work, "long", policy=StepPolicy(vary=(Variation(payload=["short"]),)))

    world = World(clock, ids)
    await world.host("p", varying, look_every=1.0)
    handle = await world.submit_job("vary")
    while len(asked) < 2:
        await clock.sleep(0.1)
    await world.crash("p")
    await world.host("q", varying, look_every=1.0)
    assert await handle.result(3600) == "short"
    await world.close()
    assert asked == ["long", "short", "short"], "what failed before is not done again"


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"policy": StepPolicy(on_timeout="retry")}, "on_timeout='retry' would do it again"),
        ({"policy": StepPolicy(vary=(Variation(payload=1),))}, "vary= would do it again"),
    ],
)
async def test_what_may_be_done_at_most_once_is_never_repeated(
    said: dict[str, Any], match: str, clock: Clock, ids: Ids
) -> None:
    @workflow("once")
    async def once(job: Job) -> None:
        with pytest.raises(StepMisused, match=match):
            job.call("pay", effect="at_most_once", **said)
        with pytest.raises(StepMisused, match=match):
            job.step("pay", print, effect="at_most_once", **said)

    await done(World(clock, ids), once)


async def test_a_policy_of_the_whole_workflow_leaves_out_what_may_be_done_at_most_once(clock: Clock, ids: Ids) -> None:
    @workflow("once", policy=StepPolicy(on_timeout="retry", attempts=5))
    async def once(job: Job) -> str:
        await job.step("again", repeated, None, timeout=5)
        return await job.call("slow", returns=str, timeout=5, effect="at_most_once")

    repeated, slow = Slow(clock, 2), Slow(clock, 1)
    with pytest.raises(DeadlineExceeded):
        await done(World(clock, ids, slow=slow), once)
    assert (len(repeated.at), len(slow.at)) == (3, 1)


@pytest.mark.parametrize(
    "said", [{"policy": StepPolicy(on_timeout="retry")}, {"fallbacks": (FallbackAgent("pay.other"),)}]
)
async def test_what_turned_out_to_be_done_at_most_once_is_not_repeated(
    said: dict[str, Any], clock: Clock, ids: Ids
) -> None:
    """Nobody was there to declare it when the step began; the award says it."""

    class Declares(FakeContractor):
        async def contract(self, call: Call, **others: Any) -> Any:
            return await super().contract(msgspec.structs.replace(call, effect="at_most_once"), **others)

    @workflow("once")
    async def once(job: Job) -> Any:
        return await job.call("pay", returns=str, timeout=5, **said)

    slow, world = Slow(clock, 5), World(clock, ids)
    world.contractor = Declares(clock, pay=slow, pay_other=slow)
    with pytest.raises(DeadlineExceeded):
        await done(world, once)
    assert len(slow.at) == 1


async def test_a_child_that_runs_out_of_time_is_begun_anew_as_another_job(clock: Clock, ids: Ids) -> None:
    slow = Slow(clock, 1)

    @workflow("child")
    async def child(job: Job) -> str:
        return await job.call("slow", returns=str, timeout=1e5)

    @workflow("parent")
    async def parent(job: Job) -> str:
        policy = StepPolicy(on_timeout="back_off", attempts=2, first=60, longest=60)
        return await job.child(child, timeout=30, policy=policy)

    world = World(clock, ids, slow=slow)
    await world.host("c", child)
    result, state = await done(world, parent)
    assert result == "done"
    assert [(key, each.answer.how) for key, each in state.waits.items() if each.answer] == [
        ("child", "expired"),
        ("child/~back_off#1", "due"),
        ("child/~retry#1", "ended"),
    ]


async def test_nothing_is_repeated_beyond_the_jobs_own_deadline(clock: Clock, ids: Ids) -> None:
    @workflow("again")
    async def again(job: Job) -> str:
        policy = StepPolicy(on_timeout="back_off", attempts=100, first=1000, longest=1000)
        return await job.call("slow", returns=str, timeout=5, policy=policy)

    began = clock.monotonic()
    with pytest.raises(DeadlineExceeded):
        await done(World(clock, ids, slow=Slow(clock, 999)), again, deadline=300)
    assert clock.monotonic() - began < 310


@pytest.mark.parametrize(
    "wrong",
    [{"on_timeout": "maybe"}, {"attempts": 0}, {"first": 10, "longest": 1}, {"vary": (Variation(),)}, {"vary": (1,)}],
)
def test_a_policy_that_makes_no_sense_is_refused_where_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(StepMisused):
        StepPolicy(**wrong)


ERRORS = st.sampled_from([DeadlineExceeded("late"), BadResult("no"), HandlerFailed("bug"), Cancelled("stop")])


@given(
    errors=st.lists(ERRORS, min_size=1, max_size=60),
    attempts=st.integers(1, 5),
    variations=st.integers(0, 4),
    stand_ins=st.integers(0, 3),
    on_timeout=st.sampled_from(["fail", "retry", "back_off", "skip"]),
)
def test_every_plan_has_an_end(
    errors: list[MeshError], attempts: int, variations: int, stand_ins: int, on_timeout: Any
) -> None:
    """However a step fails, it is tried a bounded number of times, forward only: through variations, then fallbacks."""
    vary = tuple(Variation(payload=number) for number in range(variations))
    policy = StepPolicy(on_timeout=on_timeout, attempts=attempts, vary=vary)
    plan = Plan(policy, tuple("x" * stand_ins))
    tries: list[Try] = []
    for number, error in enumerate(errors * 20, 1):
        before = stance_of(tries)
        following = plan.after(tries, error, random.Random(1))
        if following is None:
            break
        assert not isinstance(error, Cancelled)
        tries.append(Try(number, error.fault(), following.onward, following.number, following.what))
        assert stance_of(tries) >= before
    assert len(tries) < attempts * (variations + 1) + variations + stand_ins + 1


@given(st.integers(1, 20), st.integers(0, 2**32))
def test_a_pause_is_full_jitter_below_a_bound_that_doubles(number: int, seed: int) -> None:
    policy = StepPolicy(on_timeout="back_off", first=0.5, longest=60)
    assert 0 <= policy.pause(number, random.Random(seed)) <= min(60, 0.5 * 2 ** (number - 1))
    assert not NO_POLICY.repeats


def test_what_nobody_begins_for_want_of_time_has_run_out_of_it_and_is_skipped() -> None:
    skip, late = Plan(StepPolicy(on_timeout="skip")), "slow.1: deadline: it expects 1.20 s, 1.00 s are left"
    assert skip.skips(NoBids("nobody", detail={"refusals": [late]})), "the second job is skipped as the first was"
    assert not Plan(StepPolicy()).skips(NoBids("nobody", detail={"refusals": [late]}))
    for others in ([], [late, "dear.1: budget: it asks for 2.00"]):
        assert not skip.skips(NoBids("nobody", detail={"refusals": others}))
