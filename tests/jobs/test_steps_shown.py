"""How people see what a step has been through: attempts, variations, what stands in, who has killed it."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World
from test_kill_switches_of_jobs import PAY, Operators, shop, shop_world, until
from test_step_policies import Slow, done

from mesh.cli.awaited import waits
from mesh.cli.progress import narrate
from mesh.jobs.authoring.policy import StepPolicy
from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.listing import show_job
from mesh.jobs.outside.timeline import spans
from mesh.jobs.steps.stand_ins import Answer
from mesh.protocols.errors import BadResult
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Clock, Ids
from mesh.resilience.fallback import Degraded
from mesh.resilience.variation import Variation

pytestmark = pytest.mark.virtual


@workflow("tried")
async def tried(job: Job) -> None:
    policy = StepPolicy(on_timeout="retry", attempts=2, vary=(Variation(payload="short"),))
    await job.call("slow", "long", timeout=5, policy=policy, fallbacks=(Degraded(0),))
    await job.call("skipped", timeout=5, policy=StepPolicy(on_timeout="skip"))


async def test_each_attempt_is_a_span_a_row_and_a_line(clock: Clock, ids: Ids) -> None:
    slow = Slow(clock, 1)

    async def twice(given: Any) -> str:
        await slow(given)
        raise BadResult(f"nothing in {given}")

    world = World(clock, ids, slow=twice, skipped=Slow(clock, 9))
    await world.host("p", tried)
    handle = await world.submit_job("tried")
    await handle.result(100)
    records = await world.reader.read("default", handle.id)
    attempts = [(each.attempt, each.how, each.text) for each in spans(records) if each.name == "slow"]
    assert [(number, how) for number, how, _ in attempts] == [(1, "failed"), (2, "failed"), (3, "failed"), (4, "done")]
    assert "again at once" in attempts[0][2]
    assert "varied: with another payload" in attempts[1][2]
    assert "instead: a degraded value" in attempts[2][2]
    assert "degraded: a degraded value, because: nothing in short" in attempts[3][2]
    store = world.connect("shown").store
    shown = await show_job(world.reader, Values(store, world.subjects, clock), handle.id)
    row = next(each for each in shown["steps"] if each["key"] == "slow")
    assert (row["source"], [each["onward"] for each in row["tries"]]) == ("degraded", ["retry", "vary", "fall_back"])
    assert shown["degraded"] == {"slow": "a degraded value, because: nothing in short"}
    state, lines = JobState(), []
    for each in records:
        state.apply(each)
        lines += [line.text for line in narrate(each, state)]
    text = "\n".join(lines)
    for part in ("↻ slow: deadline-exceeded", "varied: with another payload", "~ slow", "✗ skipped is skipped"):
        assert part in text
    assert "its result rests on less than was asked for: slow: a degraded value" in lines[-1]
    await world.close()


async def test_what_an_agent_says_of_its_own_answer_is_kept_with_the_step(clock: Clock, ids: Ids) -> None:
    @workflow("rates")
    async def rates(job: Job) -> list[str]:
        plain = await job.call("rates", key="plain", returns=dict)
        answer: Answer[Any] = await job.call("rates", key="answer", returns=dict, fallbacks=(Degraded({}),))
        return [*plain, answer.source, answer.why, *job.degraded]

    world = World(clock, ids, rates=lambda _: {"rate": 1, "~degraded": "yesterday's"})
    result, state = await done(world, rates)
    assert result == ["rate", "degraded", "yesterday's", "plain", "answer"]
    assert state.degraded == {"plain": "yesterday's", "answer": "yesterday's"}


async def test_a_job_that_is_held_back_says_by_whom_and_what_to_type(clock: Clock, ids: Ids) -> None:
    operators = Operators()
    operators.decide(PAY)
    world = shop_world(clock, ids, operators)
    await world.host("p", shop)
    state = await until(world, await world.submit_job("shop"), "waiting")
    assert list(waits(state)) == ["capability pay was killed by ada@ops: double charges: `mesh allow capability pay`"]
    await world.close()
