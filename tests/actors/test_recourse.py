"""What an ask does when it has come to nothing: it is varied, something stands in for it, and both say so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.actors.declaring.definition import Agent, agent
from mesh.actors.declaring.handler import command
from mesh.actors.running.context import Context
from mesh.protocols.constraints import Constraints
from mesh.protocols.errors import (
    BadPayload,
    BadResult,
    BreakerOpen,
    DeadlineExceeded,
    HandlerFailed,
    MeshError,
    Overloaded,
    Refused,
    UnknownCommand,
)
from mesh.resilience.fallback import Answer, Cached, Degraded, FallbackAgent, Person
from mesh.resilience.variation import Variation
from tests.actors.neighbours import Neighbours

pytestmark = pytest.mark.virtual


class Writer(Agent):
    """Gets some prompts wrong."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.up = True

    @command(capability="write", effect="pure")
    async def write(self, prompt: str, ctx: Context) -> Any:
        self.asked.append(prompt)
        if not self.up:
            raise Overloaded("too much to do", retry_after=60.0)
        if prompt == "slow":
            await asyncio.sleep(3600.0)
        if prompt == "fails":
            raise ValueError("no idea")
        if prompt == "refused":
            raise Refused("not this")
        return 7 if prompt == "number" else f"{prompt} by {ctx.labels.get('tier', 'anyone')}"

    @command(effect="at_most_once")
    async def pay(self, prompt: str) -> str:
        self.asked.append(prompt)
        raise ValueError("somewhere on the way")


@agent(effect="pure")
async def other(prompt: str) -> str:
    return f"{prompt} by another"


# -- variations


async def test_a_semantic_failure_is_asked_for_differently_in_order(neighbours: Neighbours) -> None:
    writer = await neighbours.host(Writer)
    vary = (Variation(payload="refused"), Variation(payload="short"), Variation(payload="never"))
    answer = await (await neighbours.client()).ask("write", "fails", returns=str, vary=vary)
    assert answer == "short by anyone"
    assert writer.target.asked == ["fails", "refused", "short"]
    assert [(each["error"], each["number"]) for each in neighbours.told("ask.varied")] == [
        ("handler-failed", 1),
        ("refused", 2),
    ]


async def test_an_answer_that_does_not_fit_is_one_too(neighbours: Neighbours) -> None:
    await neighbours.host(Writer)
    client = await neighbours.client()
    assert await client.ask("write", "number", returns=str, vary=[Variation(payload="words")]) == "words by anyone"
    with pytest.raises(BadResult) as caught:
        await client.ask("write", "number", returns=str, vary=[Variation(payload="number")])
    assert caught.value.detail["variations"] == ["bad-result, then with another payload"]


async def test_another_agent_and_another_tier_are_variations(neighbours: Neighbours) -> None:
    await neighbours.host(Writer, process="one", labels={"tier": "cheap"})
    await neighbours.host(Writer, process="two", labels={"tier": "dear"})
    await neighbours.host(other)
    client = await neighbours.client()
    cheap = Constraints(labels={"tier": "cheap"})
    vary = [Variation(payload="hard", constraints=Constraints(), labels={"tier": "dear"})]
    assert await client.ask("write", "fails", constraints=cheap, vary=vary) == "hard by dear"
    assert await client.ask("write", "fails", vary=[Variation(target="other")]) == "fails by another"


async def test_a_function_makes_the_next_one_of_the_error(neighbours: Neighbours) -> None:
    await neighbours.host(Writer)
    seen: list[tuple[str, int]] = []

    def vary(error: MeshError, number: int) -> Variation | None:
        seen.append((error.code, number))
        return Variation(payload="refused") if number == 1 else None

    with pytest.raises(Refused):
        await (await neighbours.client()).ask("write", "fails", vary=vary)
    assert seen == [("handler-failed", 1), ("refused", 2)]


async def test_variations_take_from_the_budget_that_retries_take_from(neighbours: Neighbours) -> None:
    writer = await neighbours.host(Writer)
    client = await neighbours.client()
    for _ in range(100):
        with pytest.raises(Refused):
            await client.ask("write", "refused", vary=[Variation(payload="refused")])
    assert 100 < len(writer.target.asked) <= 113


async def test_what_is_not_the_other_side_s_failure_is_not_varied(neighbours: Neighbours) -> None:
    writer = await neighbours.host(Writer)
    client, vary = await neighbours.client(), [Variation(payload="short")]
    with pytest.raises(BadPayload):
        await client.ask("write", 7, vary=vary)
    with pytest.raises(HandlerFailed):
        await client.ask("writer", "once", command="pay", vary=vary)
    assert writer.target.asked == ["once"]


async def test_variations_end_with_the_deadline(neighbours: Neighbours) -> None:
    await neighbours.host(Writer)
    client = await neighbours.client()
    with pytest.raises(DeadlineExceeded):
        await client.ask("write", "fails", timeout=3.0, vary=[Variation(payload="slow")])
    assert neighbours.clock.monotonic() < 4.0


# -- fallbacks


async def test_a_full_answer_says_that_it_is_one(neighbours: Neighbours) -> None:
    await neighbours.host(Writer)
    answer = await (await neighbours.client()).ask("write", "x", returns=str, fallbacks=())
    assert answer == Answer(value="x by anyone", source="full", by="writer.host")


async def test_a_cached_answer_is_that_to_the_same_question_and_not_too_old(neighbours: Neighbours) -> None:
    writer = await neighbours.host(Writer)
    client, cached = await neighbours.client(), (Cached(max_age=60.0),)
    await client.ask("write", "x", fallbacks=cached)
    writer.target.up = False
    answer = await client.ask("write", "x", fallbacks=cached)
    assert (answer.value, answer.source, answer.by) == ("x by anyone", "cached", "writer.host")
    assert answer.why.startswith("overloaded: ")
    with pytest.raises(Overloaded) as caught:
        await client.ask("write", "y", fallbacks=cached)
    assert caught.value.detail["fallbacks"] == ["cached: unavailable: no answer of the last 60 s is kept"]
    await neighbours.clock.sleep(61.0)
    with pytest.raises(Overloaded):
        await client.ask("write", "x", fallbacks=cached)


async def test_another_agent_a_value_a_function_stand_in_in_their_order(neighbours: Neighbours) -> None:
    await neighbours.host(Writer)
    await neighbours.host(other)
    client = await neighbours.client()
    for fallback, value, source in (
        (FallbackAgent("other"), "refused by another", "agent"),
        (Degraded("nothing"), "nothing", "degraded"),
        (Degraded(lambda error: error.code), "refused", "degraded"),
    ):
        answer = await client.ask("write", "refused", fallbacks=(FallbackAgent("nobody"), fallback))
        assert (answer.value, answer.source) == (value, source)
    assert [each["how"] for each in neighbours.told("ask.fell_back")] == ["agent", "degraded", "degraded"]


async def test_one_s_own_mistakes_have_no_fallback(neighbours: Neighbours) -> None:
    await neighbours.host(Writer)
    client, fallbacks = await neighbours.client(), (Degraded("nothing"),)
    with pytest.raises(BadPayload):
        await client.ask("write", 7, fallbacks=fallbacks)
    with pytest.raises(UnknownCommand):
        await client.ask("writer", "x", command="wriet", fallbacks=fallbacks)


async def test_time_is_kept_back_for_the_fallback(neighbours: Neighbours) -> None:
    await neighbours.host(Writer)
    await neighbours.host(other)
    client = await neighbours.client()
    answer = await client.ask("write", "slow", timeout=10.0, fallbacks=(FallbackAgent("other"),))
    assert (answer.value, answer.source) == ("slow by another", "agent")
    assert neighbours.clock.monotonic() == pytest.approx(7.0, abs=0.5)


async def test_a_person_is_asked_with_more_patience_than_the_ask_had(neighbours: Neighbours) -> None:
    @agent(timeout=1.0)
    async def ada(prompt: str) -> str:
        await asyncio.sleep(200.0)
        return f"{prompt}: by hand"

    await neighbours.host(Writer)
    await neighbours.host(ada)
    answer = await (await neighbours.client()).ask("write", "refused", fallbacks=(Person("ada", patience=300.0),))
    assert (answer.value, answer.source, answer.by) == ("refused: by hand", "person", "ada.host")


async def test_while_the_breaker_is_open_the_fallback_is_there_at_once(neighbours: Neighbours) -> None:
    writer = await neighbours.host(Writer)
    client = await neighbours.client()
    for _ in range(3):
        with pytest.raises(HandlerFailed):
            await client.ask("write", "fails")
    with pytest.raises(BreakerOpen):
        await client.ask("write", "fails")
    answer = await client.ask("write", "fails", fallbacks=(Degraded("nothing"),))
    assert (answer.source, answer.why.split(":")[0]) == ("degraded", "breaker-open")
    assert len(writer.target.asked) == 3


async def test_nobody_else_does_what_may_have_been_done_once(neighbours: Neighbours) -> None:
    await neighbours.host(Writer)
    await neighbours.host(other)
    client = await neighbours.client()
    with pytest.raises(HandlerFailed) as caught:
        await client.ask("writer", "x", command="pay", fallbacks=(FallbackAgent("other"),))
    assert "may have been done already" in caught.value.detail["fallbacks"][0]


# -- the mark


async def test_who_uses_a_degraded_answer_passes_the_mark_on(neighbours: Neighbours) -> None:
    @agent
    async def editor(prompt: str, ctx: Context) -> str:
        answer = await ctx.ask("write", prompt, returns=str, fallbacks=(Degraded("a draft"),))
        return f"edited {answer.value}"

    @agent
    async def publisher(prompt: str, ctx: Context) -> str:
        return f"published {await ctx.ask('editor', prompt, returns=str)}"

    for each in (Writer, editor, publisher):
        await neighbours.host(each)
    client = await neighbours.client()
    whole = await client.ask("publisher", "x", returns=str, fallbacks=())
    assert (whole.value, whole.source, whole.why) == ("published edited x by anyone", "full", "")
    half = await client.ask("publisher", "refused", returns=str, fallbacks=())
    assert (half.value, half.source) == ("published edited a draft", "degraded")
    assert half.why == "refused: not this"


async def test_a_handler_says_itself_that_its_answer_is_less(neighbours: Neighbours) -> None:
    @agent
    async def search(ctx: Context) -> list[str]:
        ctx.degrade("one of two indexes")
        ctx.degrade("one of two indexes")
        ctx.degrade("the newest is a day old")
        return []

    await neighbours.host(search)
    answer = await (await neighbours.client()).ask("search", fallbacks=())
    assert answer.why == "one of two indexes; the newest is a day old"


async def test_a_degraded_answer_is_not_kept_as_a_good_one(neighbours: Neighbours) -> None:
    @agent(effect="pure")
    async def fickle(calls: list[int], ctx: Context) -> str:
        ctx.degrade("half")
        return "half"

    await neighbours.host(fickle)
    client = await neighbours.client()
    await client.ask("fickle", [1], fallbacks=(Cached(60.0),))
    await neighbours.stop("host")
    with pytest.raises(MeshError):
        await client.ask("fickle", [1], fallbacks=(Cached(60.0),))
