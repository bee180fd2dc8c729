"""What stands in for a step's result when the step has come to nothing: the last good one, another capability, a degraded value,
or a person who is asked for it. The nouns are those of `ask` (`mesh.resilience.fallback`), but for the person: a job can wait.

    answer = await job.call("rates", "EUR", returns=Rate, fallbacks=(FallbackAgent("rates.slow"), AskPerson("today's rate?")))
    answer.value, answer.source, answer.why

They are tried in order, and the journal says which it was: no replay, and nobody who reads the job's result, takes one for the
other.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from mesh.actors.declaring.contract import Contract
from mesh.jobs.steps.attempt import Attempt
from mesh.jobs.steps.onward import AskPerson, first_fault
from mesh.jobs.steps.step import Outcome
from mesh.protocols.answer_source import Source
from mesh.protocols.constraints import Effect
from mesh.protocols.errors import HandlerFailed, MeshError, StepMisused, Unavailable
from mesh.protocols.naming.names import check_capability
from mesh.resilience.fallback import Answer, Cached, Degraded, Fallback, FallbackAgent
from mesh.resilience.fallback_cache import AnswerCache
from mesh.resilience.retry import not_begun

StandIn = Fallback | AskPerson
Fallbacks = tuple[StandIn, ...]


def must_suit(fallbacks: Fallbacks, effect: Effect | None, what: str) -> None:
    """Whether these can stand in for such a step.

    Raises:
        StepMisused: one cannot; the message has the fix.
    """
    for each in fallbacks:
        if not isinstance(each, Cached | FallbackAgent | Degraded | AskPerson):
            raise StepMisused(
                f"step {what!r}: {type(each).__name__} cannot stand in for a step: write Cached, FallbackAgent, Degraded, or "
                "AskPerson, which asks a person and holds nobody up"
            )
        if isinstance(each, FallbackAgent):
            _must_be_callable(each, effect, what)


def _must_be_callable(fallback: FallbackAgent, effect: Effect | None, what: str) -> None:
    check_capability(fallback.target)
    if fallback.command:
        raise StepMisused(f"step {what!r}: FallbackAgent(command=…) means nothing here: name a capability as target")
    if effect == "at_most_once":
        raise StepMisused(
            f"step {what!r} may be done at most once, and {fallback.target!r} would do it again: use Degraded or AskPerson"
        )


def words(fallback: StandIn) -> str:
    """What it is, for the journal."""
    match fallback:
        case Cached():
            return f"an answer of the last {fallback.max_age:g} s"
        case FallbackAgent():
            return f"the capability {fallback.target}"
        case Degraded():
            return "a degraded value"
    return "a person"


@dataclass(frozen=True)
class StandIns:
    """Those of one step; `key` is what `answers` keeps good results under."""

    fallbacks: Fallbacks
    contract: Contract
    answers: AnswerCache
    key: bytes

    def keep(self, outcome: Outcome) -> None:
        """A good result, for whoever falls back on it later."""
        if not outcome.degraded and any(isinstance(each, Cached) for each in self.fallbacks):
            self.answers.put(self.key, outcome.content, outcome.by)

    async def give(self, attempt: Attempt, call: Callable[[str], Awaitable[Outcome]]) -> Outcome:
        """What the one gives that the attempt has come to. `call` gives the step to another capability.

        Raises:
            MeshError: nothing.
        """
        error = first_fault(attempt.tries) or HandlerFailed()
        fallback = self.fallbacks[attempt.stance.fallback - 1]
        if isinstance(fallback, FallbackAgent) and attempt.at_most_once and not not_begun(error):
            raise Unavailable(
                f"{fallback.target} was not asked: it may be done at most once, and may have been done already"
            )
        outcome = await self._given(fallback, error, call)
        why = f"{words(fallback)}, because: {error.message}"
        if outcome.degraded:
            why += f"; and that is degraded: {outcome.degraded}"
        return replace(outcome, source=fallback.source, degraded=why)

    async def _given(self, fallback: StandIn, error: MeshError, call: Callable[[str], Awaitable[Outcome]]) -> Outcome:
        match fallback:
            case Cached():
                kept = self.answers.get(self.key, fallback.max_age)
                if kept is None:
                    raise Unavailable(f"this process had no answer in the last {fallback.max_age:g} s")
                return Outcome(msgspec.Raw(kept.payload), by=kept.by)
            case FallbackAgent():
                return await call(fallback.target)
            case Degraded():
                value = fallback.value(error) if callable(fallback.value) else fallback.value
                return Outcome(self.contract.encode(await value if inspect.isawaitable(value) else value))
        raise StepMisused("a person is asked by the job, not by an attempt")


def answer_of(value: Any, source: Source, why: str, by: str) -> Answer[Any]:
    """The result of a step that has fallbacks. What an agent itself says to be degraded is no full answer, either."""
    return Answer(value=value, source="degraded" if why and source == "full" else source, why=why, by=by)


__all__ = ["Answer", "AskPerson", "Fallbacks", "StandIn", "StandIns", "answer_of", "must_suit", "words"]
