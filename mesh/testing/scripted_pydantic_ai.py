"""A `ScriptedModel` as pydantic-ai sees it: its own `FunctionModel`, imported when a test asks for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from mesh.actors.declaring.contract import encode_payload

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponsePart
    from pydantic_ai.models.function import AgentInfo, DeltaToolCalls, FunctionModel

    from mesh.testing.scripted_model import ScriptedModel

HOW = "a scripted pydantic-ai model needs the extra 'llm': pip install 'natsmesh[llm]'"


def function_model(script: ScriptedModel) -> FunctionModel:
    """As `ScriptedModel.for_pydantic_ai`."""
    try:
        from pydantic_ai.models.function import FunctionModel
    except ImportError as error:
        raise ImportError(HOW) from error

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return await _response(script, messages, info)

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | DeltaToolCalls]:
        for piece in _pieces(await _response(script, messages, info)):
            yield piece

    return FunctionModel(answer, stream_function=stream, model_name=script.name)


async def _response(script: ScriptedModel, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.usage import RequestUsage

    prompt = newest_request(messages)
    turn = script.turn(prompt)
    answer = await script.answer_to(turn, prompt)
    if isinstance(answer, ModelResponse):
        return answer
    usage = RequestUsage(input_tokens=turn.tokens_in, output_tokens=turn.tokens_out)
    return ModelResponse(parts=[_part(answer, info)], usage=usage)


def _part(answer: Any, info: AgentInfo) -> ModelResponsePart:
    from pydantic_ai.messages import TextPart, ToolCallPart

    from mesh.testing.scripted_model import ToolCall

    if isinstance(answer, ToolCall):
        return ToolCallPart(answer.tool, answer.arguments)
    if isinstance(answer, str):
        return TextPart(answer)
    data = bytes(encode_payload(answer)).decode()
    if not info.output_tools:
        return TextPart(data)
    value = json.loads(data)
    tool = info.output_tools[0]
    return ToolCallPart(
        tool.name, value if isinstance(value, dict) else {tool.outer_typed_dict_key or "response": value}
    )


def _pieces(response: ModelResponse) -> list[str | DeltaToolCalls]:
    """What a streamed answer comes in: text word by word, a tool call whole."""
    from pydantic_ai.messages import TextPart, ToolCallPart
    from pydantic_ai.models.function import DeltaToolCall

    pieces: list[str | DeltaToolCalls] = []
    for number, part in enumerate(response.parts):
        if isinstance(part, TextPart):
            pieces += [word for word in part.content.replace(" ", " \0").split("\0") if word]
        elif isinstance(part, ToolCallPart):
            pieces.append(
                {number: DeltaToolCall(part.tool_name, part.args_as_json_str(), tool_call_id=part.tool_call_id)}
            )
    return pieces


def newest_request(messages: list[ModelMessage]) -> str:
    """The text of the newest request: what the user says, what tools returned, what is to be tried again."""
    from pydantic_ai.messages import ModelRequest, RetryPromptPart, ToolReturnPart, UserPromptPart

    request = next((each for each in reversed(messages) if isinstance(each, ModelRequest)), None)
    texts = []
    for part in request.parts if request else ():
        if isinstance(part, UserPromptPart):
            texts += [part.content] if isinstance(part.content, str) else [str(each) for each in part.content]
        elif isinstance(part, ToolReturnPart):
            texts.append(part.model_response_str())
        elif isinstance(part, RetryPromptPart):
            texts.append(part.model_response())
    return "\n".join(texts)
