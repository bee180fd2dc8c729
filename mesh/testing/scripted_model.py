"""`ScriptedModel`: a stand-in for a language model that says what a test wrote down, and remembers what it was asked.

    model = ScriptedModel("It is fine.", TimeoutError("overloaded"), Turn({"score": 7}, after=2.0, expect="invoice"))
    await model("Is this right?")       # "It is fine."
    model.verify()                      # the script was played to its end, and nothing unexpected was asked

`model.for_pydantic_ai()` is the same script as a pydantic-ai model.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mesh.protocols.ports import Clock
from mesh.testing.virtual_time import VirtualClock

if TYPE_CHECKING:
    from pydantic_ai.models.function import FunctionModel

Expectation = str | re.Pattern[str] | Callable[[Any], object] | None
"""A text that the prompt contains, a pattern that is found in it, or a function that says whether it is right."""

SHOWN = 300
"""Characters of a prompt that an error message shows."""


class WrongQuestion(AssertionError):
    """The model was asked something that its script does not expect."""


class ScriptOver(AssertionError):
    """The model was asked more often than its script has answers."""


class ScriptNotOver(AssertionError):
    """The model was asked less often than its script has answers."""


@dataclass(frozen=True)
class ToolCall:
    """An answer of a pydantic-ai model: it calls this tool of the agent with these arguments."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """One answer: after `after` seconds, to a prompt as expected. An exception as `answer` is raised; a function is called
    with the prompt, and gives the answer. `tokens_in` and `tokens_out` are what a pydantic-ai model says it used.
    """

    answer: Any
    after: float = 0.0
    expect: Expectation = None
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Asked:
    """A question as it came: the prompt, and at what time of the clock."""

    prompt: Any
    at: float


class ScriptedModel:
    """Answers with its turns, in their order. Anything that is no `Turn` is one without delay or expectation.

    With `repeat` the last turn is played for ever. `clock` times the delays; the default is the running loop's, virtual or
    not. Used as `with ScriptedModel(…) as model:`, it verifies itself at the end.
    """

    def __init__(self, *script: Any, repeat: bool = False, clock: Clock | None = None, name: str = "scripted") -> None:
        if repeat and not script:
            raise ValueError("there is nothing to repeat: give at least one answer")
        self.name = name
        self.asked: list[Asked] = []
        self.complaints: list[AssertionError] = []
        self._script = tuple(each if isinstance(each, Turn) else Turn(each) for each in script)
        self._repeat = repeat
        self._clock = clock or VirtualClock()

    @property
    def prompts(self) -> list[Any]:
        """What it was asked, in order."""
        return [each.prompt for each in self.asked]

    @property
    def left(self) -> int:
        """How many turns were not played yet."""
        return max(0, len(self._script) - len(self.asked))

    async def __call__(self, prompt: Any) -> Any:
        """Play the next turn.

        Raises:
            ScriptOver · WrongQuestion: kept for `verify`, too, as whoever asks may swallow them. The turn's own exception.
        """
        return await self.answer_to(self.turn(prompt), prompt)

    def turn(self, prompt: Any) -> Turn:
        """Write the question down and give the turn that answers it: taken at once, whoever else asks meanwhile."""
        number = len(self.asked)
        self.asked.append(Asked(prompt, self._clock.monotonic()))
        if number >= len(self._script) and not self._repeat:
            raise self._complain(
                ScriptOver(
                    f"the model {self.name!r} has a script of {len(self._script)} answers and is asked question "
                    f"{number + 1}: add an answer, or repeat=True; it is asked: {_shown(prompt)}"
                )
            )
        turn = self._script[min(number, len(self._script) - 1)]
        if not _as_expected(turn.expect, prompt):
            raise self._complain(
                WrongQuestion(
                    f"the model {self.name!r} expects question {number + 1} to {_wanted(turn.expect)}; "
                    f"it is asked: {_shown(prompt)}"
                )
            )
        return turn

    async def answer_to(self, turn: Turn, prompt: Any) -> Any:
        """Wait as long as the turn says, then give its answer, or raise it."""
        if turn.after > 0:
            await self._clock.sleep(turn.after)
        if isinstance(turn.answer, BaseException) or _is_error(turn.answer):
            raise turn.answer
        return turn.answer(prompt) if callable(turn.answer) and not isinstance(turn.answer, type) else turn.answer

    def verify(self) -> None:
        """Check that the script was played to its end, and that nothing unexpected was asked. Again: the same.

        Raises:
            ScriptNotOver · ScriptOver · WrongQuestion.
        """
        if self.complaints:
            raise self.complaints[0]
        if self.left:
            raise ScriptNotOver(
                f"the model {self.name!r} was asked {len(self.asked)} times; {self.left} of its "
                f"{len(self._script)} answers are left, the next is {_shown(self._script[len(self.asked)].answer)}"
            )

    def for_pydantic_ai(self) -> FunctionModel:
        """The same script as a pydantic-ai model: `Agent(model.for_pydantic_ai())`. A text is a text answer, a `ToolCall` calls
        a tool, anything else is the structured output. What it was asked is the text of the newest request.

        Raises:
            ImportError: pydantic-ai is not installed; the message says what to install.
        """
        from mesh.testing.scripted_pydantic_ai import function_model

        return function_model(self)

    def __enter__(self) -> ScriptedModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.verify()

    def _complain(self, error: AssertionError) -> AssertionError:
        self.complaints.append(error)
        return error


def _is_error(answer: Any) -> bool:
    return isinstance(answer, type) and issubclass(answer, BaseException)


def _as_expected(expect: Expectation, prompt: Any) -> bool:
    if expect is None:
        return True
    if isinstance(expect, str):
        return expect in _text(prompt)
    if isinstance(expect, re.Pattern):
        return expect.search(_text(prompt)) is not None
    return bool(expect(prompt))


def _wanted(expect: Expectation) -> str:
    if isinstance(expect, str):
        return f"contain {expect!r}"
    if isinstance(expect, re.Pattern):
        return f"match {expect.pattern!r}"
    return f"satisfy {getattr(expect, '__name__', expect)!s}"


def _text(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else repr(prompt)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"
