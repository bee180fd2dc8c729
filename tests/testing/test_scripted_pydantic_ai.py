"""The scripted model in the place of a pydantic-ai model: text, structured output, tools, retries, streams."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest
from pydantic import BaseModel

from mesh.testing import ScriptedModel, ToolCall, Turn
from mesh.testing.scripted_model import ScriptOver, WrongQuestion

pydantic_ai = pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent, NativeOutput, RunContext  # noqa: E402


class Verdict(BaseModel):
    """What the model is to say."""

    score: int
    why: str = ""


async def test_a_text_is_a_text_answer() -> None:
    model = ScriptedModel("hello")
    result = await Agent(model.for_pydantic_ai()).run("say hello")
    assert result.output == "hello"
    assert model.prompts == ["say hello"]


@pytest.mark.parametrize("answer", [Verdict(score=7), {"score": 7}])
@pytest.mark.parametrize("native", [False, True])
async def test_anything_else_is_the_structured_output(answer: object, native: bool) -> None:
    output = NativeOutput(Verdict) if native else Verdict
    agent = Agent(ScriptedModel(answer).for_pydantic_ai(), output_type=output)  # type: ignore[var-annotated,arg-type]
    assert (await agent.run("?")).output == Verdict(score=7)


async def test_outputs_that_are_no_objects_and_dataclasses_fit_too() -> None:
    @dataclass
    class Point:
        x: int

    assert (await Agent(ScriptedModel([1, 2]).for_pydantic_ai(), output_type=list[int]).run("?")).output == [1, 2]
    assert (await Agent(ScriptedModel(Point(3)).for_pydantic_ai(), output_type=Point).run("?")).output == Point(3)


async def test_a_model_that_answers_badly_is_asked_again_and_the_script_sees_why() -> None:
    model = ScriptedModel({"score": "many"}, Turn({"score": 7}, expect="valid integer"))
    agent = Agent(model.for_pydantic_ai(), output_type=Verdict)
    assert (await agent.run("?")).output.score == 7
    model.verify()


async def test_a_tool_call_calls_the_agent_s_own_tool() -> None:
    model = ScriptedModel(ToolCall("price", {"sku": "a"}), Turn("it costs 3", expect="3.0"))
    agent = Agent(model.for_pydantic_ai())

    @agent.tool
    def price(ctx: RunContext[None], sku: str) -> float:
        return {"a": 3.0}[sku]

    assert (await agent.run("what is a?")).output == "it costs 3"


async def test_tokens_are_what_the_script_says() -> None:
    model = ScriptedModel(Turn("hello", tokens_in=120, tokens_out=5))
    result = await Agent(model.for_pydantic_ai()).run("?")
    usage = result.usage if hasattr(result.usage, "input_tokens") else result.usage()
    assert (usage.input_tokens, usage.output_tokens) == (120, 5)


async def test_a_stream_comes_word_by_word() -> None:
    agent = Agent(ScriptedModel("one two three").for_pydantic_ai())
    async with agent.run_stream("?") as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    assert pieces == ["one ", "two ", "three"]


async def test_a_structured_answer_can_be_streamed() -> None:
    agent = Agent(ScriptedModel(Verdict(score=7)).for_pydantic_ai(), output_type=Verdict)
    async with agent.run_stream("?") as result:
        assert (await result.get_output()).score == 7


async def test_errors_and_complaints_reach_the_caller() -> None:
    model = ScriptedModel(TimeoutError("overloaded"), Turn("x", expect="cats"))
    agent = Agent(model.for_pydantic_ai())
    with pytest.raises(TimeoutError, match="overloaded"):
        await agent.run("?")
    with pytest.raises(WrongQuestion):
        await agent.run("dogs")
    with pytest.raises(ScriptOver):
        await agent.run("?")


def test_where_pydantic_ai_is_missing_the_message_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pydantic_ai'] = None\n"
        "from mesh.testing import ScriptedModel\n"
        "ScriptedModel('x').for_pydantic_ai()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install 'natsmesh[llm]'" in ended.stderr.splitlines()[-1]
