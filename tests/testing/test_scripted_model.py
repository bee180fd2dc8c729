"""The scripted model by itself: it says what was written down, and complains about what was not."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

import pytest

from mesh.protocols.ports import Clock
from mesh.testing import ScriptedModel, Turn
from mesh.testing.scripted_model import ScriptNotOver, ScriptOver, WrongQuestion


async def test_answers_come_in_the_order_of_the_script_and_questions_are_remembered() -> None:
    model = ScriptedModel("yes", {"score": 7})
    assert [await model("a?"), await model({"b": 1})] == ["yes", {"score": 7}]
    assert model.prompts == ["a?", {"b": 1}]
    assert model.left == 0
    model.verify()


async def test_an_exception_in_the_script_is_raised() -> None:
    model = ScriptedModel(TimeoutError("overloaded"), ValueError, "fine")
    with pytest.raises(TimeoutError, match="overloaded"):
        await model("?")
    with pytest.raises(ValueError):  # noqa: PT011
        await model("?")
    assert await model("?") == "fine"


async def test_a_function_in_the_script_answers_the_prompt() -> None:
    assert await ScriptedModel(str.upper)("louder") == "LOUDER"


@pytest.mark.virtual
async def test_a_delay_passes_in_the_time_of_the_test(clock: Clock) -> None:
    model = ScriptedModel(Turn("late", after=90.0), "soon", clock=clock)
    started = clock.monotonic()
    assert await asyncio.gather(model("first"), model("second")) == ["late", "soon"]
    assert clock.monotonic() - started == pytest.approx(90.0)
    assert [each.at - started for each in model.asked] == [0.0, 0.0]


@pytest.mark.virtual
async def test_without_a_clock_it_takes_the_time_of_the_loop(clock: Clock) -> None:
    started = clock.monotonic()
    await ScriptedModel(Turn("late", after=90.0))("?")
    assert clock.monotonic() - started == pytest.approx(90.0)


async def test_a_script_that_runs_out_says_how_often_it_was_asked_and_what() -> None:
    model = ScriptedModel("only one", name="reviewer")
    await model("first")
    with pytest.raises(ScriptOver, match=r"'reviewer' has a script of 1 answers and is asked question 2.*'second'"):
        await model("second")
    with pytest.raises(ScriptOver):
        model.verify()


async def test_repeating_the_last_answer_never_runs_out() -> None:
    model = ScriptedModel("first", "again", repeat=True)
    assert [await model("?") for _ in range(4)] == ["first", "again", "again", "again"]
    model.verify()
    with pytest.raises(ValueError, match="nothing to repeat"):
        ScriptedModel(repeat=True)


@pytest.mark.parametrize(
    ("expect", "wanted"),
    [
        ("invoice", "contain 'invoice'"),
        (re.compile(r"invoice \d+"), r"match 'invoice"),
        (lambda prompt: "invoice" in prompt, "satisfy <lambda>"),
    ],
)
async def test_an_unexpected_prompt_is_an_error_that_says_what_was_expected(expect: object, wanted: str) -> None:
    right = ScriptedModel(Turn("ok", expect=expect))  # type: ignore[arg-type]
    assert await right("about invoice 12") == "ok"
    wrong = ScriptedModel(Turn("ok", expect=expect), name="m")  # type: ignore[arg-type]
    with pytest.raises(WrongQuestion, match=rf"'m' expects question 1 to {re.escape(wanted)}.*'about cats'"):
        await wrong("about cats")


async def test_what_a_caller_swallows_is_found_by_verifying() -> None:
    model = ScriptedModel(Turn("ok", expect="x"))
    with suppress(AssertionError):
        await model("y")
    with pytest.raises(WrongQuestion):
        model.verify()


async def test_a_script_that_was_not_played_to_its_end_is_an_error() -> None:
    model = ScriptedModel("one", "two", "three")
    await model("?")
    with pytest.raises(ScriptNotOver, match="asked 1 times; 2 of its 3 answers are left, the next is 'two'"):
        model.verify()


async def test_as_a_context_it_verifies_itself_unless_something_else_went_wrong() -> None:
    with pytest.raises(ScriptNotOver), ScriptedModel("never asked for"):
        pass
    with pytest.raises(KeyError), ScriptedModel("never asked for"):
        raise KeyError


async def test_a_long_prompt_is_shown_in_part() -> None:
    with pytest.raises(ScriptOver) as caught:
        await ScriptedModel()("x" * 10_000)
    assert len(str(caught.value)) < 600
    assert "10002 characters" in str(caught.value)
