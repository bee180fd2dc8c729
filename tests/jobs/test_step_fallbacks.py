"""What stands in for a step's result: it is marked in the journal, in the answer and in what rests on it."""

from __future__ import annotations

from typing import Any

import pytest
from job_stage import World
from test_step_policies import Slow, done

from mesh.jobs.authoring.policy import StepPolicy
from mesh.jobs.authoring.workflow import Job, workflow
from mesh.jobs.replay.replaying import replay
from mesh.jobs.steps.onward import AskPerson
from mesh.jobs.steps.stand_ins import Answer
from mesh.protocols.errors import HandlerFailed, MeshError, NoBids, StepMisused
from mesh.protocols.ports import Clock, Ids
from mesh.resilience.fallback import Cached, Degraded, FallbackAgent, Person
from mesh.resilience.variation import Variation

pytestmark = pytest.mark.virtual


def told(answer: Answer[Any]) -> dict[str, Any]:
    return {"value": answer.value, "source": answer.source, "why": answer.why, "by": answer.by}


async def test_a_full_answer_says_that_it_is_one(clock: Clock, ids: Ids) -> None:
    @workflow("full")
    async def full(job: Job) -> dict[str, Any]:
        return told(await job.call("rates", returns=float, fallbacks=(Degraded(0.0),)))

    result, state = await done(World(clock, ids, rates=lambda _: 1.5), full)
    assert result == {"value": 1.5, "source": "full", "why": "", "by": "fake.one"}
    assert not state.degraded


async def test_fallbacks_are_tried_in_order_and_the_journal_has_which_it_was(clock: Clock, ids: Ids) -> None:
    @workflow("rates")
    async def rates(job: Job) -> dict[str, Any]:
        fallbacks = (Cached(max_age=60), FallbackAgent("rates.gone"), FallbackAgent("rates.slow"), Degraded(0.0))
        answer = await job.call("rates", "EUR", returns=float, fallbacks=fallbacks)
        return {**told(answer), "job": dict(job.degraded)}

    world = World(clock, ids, rates_slow=lambda _: 1.4)
    result, state = await done(world, rates)
    why = "the capability rates.slow, because: nobody offers rates"
    assert result == {"value": 1.4, "source": "agent", "why": why, "by": "fake.one", "job": {"rates": why}}
    assert [(each.onward, each.number, each.fault.code) for each in state.steps["rates"].tries] == [
        ("fall_back", 1, "no-bids"),
        ("fall_back", 2, "unavailable"),
        ("fall_back", 3, "no-bids"),
    ]
    assert world.contractor.calls[-1].key == f"{state.job}/rates/~fallback#3"


async def test_where_nothing_can_stand_in_the_step_fails_with_its_own_error(clock: Clock, ids: Ids) -> None:
    @workflow("rates")
    async def rates(job: Job) -> None:
        await job.step("rates", broken, fallbacks=(Cached(max_age=60), FallbackAgent("nobody")))

    def broken() -> None:
        raise ValueError("bad feed")

    with pytest.raises(HandlerFailed, match="bad feed") as failed:
        await done(World(clock, ids), rates)
    assert failed.value.detail["instead"] == "no-bids: nobody offers nobody"


async def test_the_last_good_answer_of_an_earlier_job_stands_in_while_it_is_fresh(clock: Clock, ids: Ids) -> None:
    works = True

    @workflow("rates")
    async def rates(job: Job, currency: str) -> str:
        return (await job.call("rates", currency, returns=str, fallbacks=(Cached(max_age=600),))).source

    def feed(currency: str) -> str:
        if not works:
            raise NoBids("the feed is down")
        return currency

    world = World(clock, ids, rates=feed)
    await world.host("p", rates)
    assert await (await world.submit_job("rates", "EUR")).result(60) == "full"
    works = False
    assert await (await world.submit_job("rates", "EUR")).result(60) == "cached"
    with pytest.raises(NoBids):
        await (await world.submit_job("rates", "USD")).result(60)
    await clock.sleep(700)
    with pytest.raises(NoBids):
        await (await world.submit_job("rates", "EUR")).result(60)
    await world.close()


async def test_a_degraded_value_may_be_made_of_the_error_after_retries_and_variations(clock: Clock, ids: Ids) -> None:
    async def instead(error: MeshError) -> str:
        return error.code

    @workflow("all")
    async def everything(job: Job) -> str:
        policy = StepPolicy(on_timeout="retry", attempts=2, vary=(Variation(payload=[1]),))
        answer = await job.step("slow", Slow(clock, 9), None, timeout=5, policy=policy, fallbacks=(Degraded(instead),))
        return answer.value

    result, state = await done(World(clock, ids), everything)
    assert result == "deadline-exceeded"
    assert [each.onward for each in state.steps["slow"].tries] == ["retry", "fall_back"]
    assert state.steps["slow"].source == "degraded"


async def test_a_person_is_asked_while_nobody_holds_the_job(clock: Clock, ids: Ids) -> None:
    @workflow("rates")
    async def rates(job: Job) -> dict[str, Any]:
        return told(await job.call("rates", returns=float, fallbacks=(AskPerson("today's rate?"),)))

    world = World(clock, ids)
    await world.host("p", rates, look_every=1.0)
    handle = await world.submit_job("rates")
    for value, attempt in (("none of your business", 1), (1.25, 2)):
        while (await handle.state()).status != "parked" or len((await handle.state()).waits) < attempt:
            await clock.sleep(0.5)
        assert "today's rate? It failed: nobody offers rates" in (await handle.state()).parked
        await handle.resolve("rates", "succeeded", value, by="ada")
    result = await handle.result(60)
    assert result == {
        "value": 1.25,
        "source": "person",
        "why": "a person, because: nobody offers rates",
        "by": "ada",
    }
    report = await replay(await world.reader.read("default", handle.id), rates)
    assert report.ok, report
    assert (await handle.state()).degraded == {"rates": result["why"]}
    await world.close()


@pytest.mark.parametrize("how", ["retry", "failed", "silence"])
async def test_a_person_may_also_have_it_done_again_or_give_it_up_or_say_nothing(
    how: Any, clock: Clock, ids: Ids
) -> None:
    there = False

    def feed(_: Any) -> float:
        if not there:
            raise HandlerFailed("the feed is down")
        return 1.5

    @workflow("rates")
    async def rates(job: Job) -> dict[str, Any]:
        fallbacks = (AskPerson("today's rate?", within=500), Degraded(0.0))
        return told(await job.call("rates", returns=float, fallbacks=fallbacks))

    world = World(clock, ids, rates=feed)
    await world.host("p", rates, look_every=1.0)
    handle = await world.submit_job("rates")
    while (await handle.state()).status != "parked":
        await clock.sleep(0.5)
    if how != "silence":
        there = True
        await handle.resolve("rates", how, by="ada", reason="market closed")
    if how == "failed":
        with pytest.raises(HandlerFailed, match="ada said that it failed: market closed"):
            await handle.result(1000)
    else:
        assert (await handle.result(1000))["source"] == ("full" if how == "retry" else "degraded")
    report = await replay(await world.reader.read("default", handle.id), rates)
    assert report.ok, report
    await world.close()


async def test_a_child_that_rests_on_less_says_so_to_its_parent(clock: Clock, ids: Ids) -> None:
    @workflow("child")
    async def child(job: Job) -> float:
        return (await job.call("rates", returns=float, fallbacks=(Degraded(0.0),))).value

    @workflow("parent")
    async def parent(job: Job) -> dict[str, str]:
        await job.child(child)
        return dict(job.degraded)

    world = World(clock, ids)
    await world.host("c", child)
    result, state = await done(world, parent)
    assert result == {"child": "rates: a degraded value, because: nobody offers rates"}
    assert state.degraded == result


@pytest.mark.parametrize(
    ("fallback", "match"),
    [
        (FallbackAgent("other"), "would do it again"),
        (FallbackAgent("other", command="x"), "name a capability"),
        (Person("clerk"), "AskPerson"),
        ("nothing", "str cannot stand in"),
    ],
)
async def test_what_cannot_stand_in_is_refused_where_it_is_written(
    fallback: Any, match: str, clock: Clock, ids: Ids
) -> None:
    @workflow("wrong")
    async def wrong(job: Job) -> None:
        with pytest.raises(StepMisused, match=match):
            job.call("pay", effect="at_most_once", fallbacks=(fallback,))

    await done(World(clock, ids), wrong)


async def test_a_degraded_value_may_stand_in_for_what_is_done_at_most_once(clock: Clock, ids: Ids) -> None:
    @workflow("once")
    async def once(job: Job) -> str:
        answer = await job.call("slow", returns=str, timeout=5, effect="at_most_once", fallbacks=(Degraded("unpaid"),))
        return answer.value

    assert (await done(World(clock, ids, slow=Slow(clock, 9)), once))[0] == "unpaid"


async def test_what_is_no_ones_fault_but_the_authors_is_not_stood_in_for(clock: Clock, ids: Ids) -> None:
    @workflow("twice")
    async def twice(job: Job) -> None:
        await job.call("a", key="k", fallbacks=(Degraded(None),))
        await job.call("b", key="k", fallbacks=(Degraded(None),))

    with pytest.raises(StepMisused):
        await done(World(clock, ids, a=lambda _: 1), twice)


async def test_what_was_only_stood_in_for_is_not_undone(clock: Clock, ids: Ids) -> None:
    undone: list[Any] = []

    @workflow("trip")
    async def trip(job: Job) -> None:
        fallbacks = (Degraded("none"),)
        await job.call("hotel.book", key="booked", compensate="hotel.cancel", fallbacks=fallbacks)
        await job.call("flight.book", key="missed", compensate="hotel.cancel", fallbacks=fallbacks)
        raise HandlerFailed("no car")

    world = World(clock, ids, hotel_book=lambda _: "room", hotel_cancel=undone.append)
    with pytest.raises(HandlerFailed, match="no car"):
        await done(world, trip)
    assert undone == ["room"]
