"""How a step goes on after an attempt that failed: decided by its policy from what its journal knows, and nothing else.

In this order: a timeout is tried again, as often as the policy says; what the same again would not cure is varied; then what
stands in for a result is taken, one after the other. A person who says *retry* begins it all anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import msgspec

from mesh.jobs.authoring.policy import MOST_VARIATIONS, NO_POLICY, StepPolicy
from mesh.protocols.answer_source import Source
from mesh.protocols.errors import (
    Cancelled,
    Catastrophic,
    DeadlineExceeded,
    InDoubt,
    MeshError,
    NoBids,
    StepMisused,
    TimedOut,
    from_fault,
)
from mesh.protocols.job_facts import Onward
from mesh.protocols.job_step_state import Try
from mesh.resilience.fallback import worth_a_fallback
from mesh.resilience.variation import Variation, next_variation, varies

TIMEOUTS = (DeadlineExceeded, TimedOut)
FINAL = (Cancelled, Catastrophic, InDoubt, StepMisused)
"""Neither repeated nor stood in for: somebody ended it, the job is not ours, nobody knows what became of it, or it is a bug."""

ASKED_AGAIN = "a person asked for it"


class Stance(NamedTuple):
    """Where a step is: which of its variations it is done with, and which of its fallbacks it has come to; from 1, 0 for none."""

    variation: int = 0
    fallback: int = 0


AS_WRITTEN = Stance()


class AskPerson(msgspec.Struct, frozen=True):
    """Somebody is asked for the value, at most `within` seconds, and nobody holds the job meanwhile: it is parked, with an alert.
    They answer with `mesh job resolve ID KEY --succeeded JSON`, `--retry` or `--failed WHY`."""

    question: str = ""
    within: float | None = None
    source: ClassVar[Source] = "person"


class Next(NamedTuple):
    """How it goes on, in the words of `StepRetried`; `seconds` is the pause before."""

    onward: Onward
    number: int = 0
    what: str = ""
    seconds: float = 0.0


class GoesOn(Exception):
    """The attempt failed, and the step does not: that is journaled."""


@dataclass(frozen=True)
class Plan:
    """What a step's author said about its going wrong. `stand_ins` names its fallbacks, in order; `left` tells how many
    seconds the job has, None for no end. `persons` are those of the fallbacks, by their number, that a person is asked for."""

    policy: StepPolicy = NO_POLICY
    stand_ins: tuple[str, ...] = ()
    persons: Mapping[int, AskPerson] = field(default_factory=dict)
    left: Callable[[], float | None] = lambda: None

    def after(self, tries: Sequence[Try], error: MeshError, chance: random.Random) -> Next | None:
        """How it goes on; None: it has failed."""
        if isinstance(error, FINAL):
            return None
        tries = current_round(tries)
        stance = stance_of(tries)
        if not stance.fallback:
            again = self._again(tries, error, chance) or self._varied(stance, error)
            if again is not None:
                return again
        return self._stood_in_for(stance, error)

    def without_repeats(self) -> Plan:
        """What is left of it once something may have been done that may be done at most once."""
        return replace(self, policy=self.policy.bounded("at_most_once"))

    def person(self, tries: Sequence[Try]) -> AskPerson | None:
        """Who is to be asked for the step's result now, if it has come to that."""
        return self.persons.get(stance_of(tries).fallback)

    def skips(self, error: MeshError) -> bool:
        """Whether its failure is given as a mark: it ran out of time, and that is what its author wants then."""
        return self.policy.on_timeout == "skip" and (isinstance(error, TIMEOUTS) or _too_slow(error))

    def _again(self, tries: Sequence[Try], error: MeshError, chance: random.Random) -> Next | None:
        policy, before = self.policy, timeouts(tries)
        if not isinstance(error, TIMEOUTS) or before + 1 >= policy.attempts:
            return None
        if policy.on_timeout not in ("retry", "back_off"):
            return None
        seconds = 0.0
        if policy.on_timeout == "back_off":
            seconds = policy.pause(before + 1, chance)
        left = self.left()
        if left is not None and left <= seconds:
            return None
        return Next("back_off" if policy.on_timeout == "back_off" else "retry", seconds=seconds)

    def _varied(self, stance: Stance, error: MeshError) -> Next | None:
        number = stance.variation + 1
        if number > MOST_VARIATIONS or not self.policy.vary or not varies(error):
            return None
        variation = next_variation(self.policy.vary, error, number)
        return Next("vary", number, variation.words) if variation is not None else None

    def _stood_in_for(self, stance: Stance, error: MeshError) -> Next | None:
        number = stance.fallback + 1
        if number > len(self.stand_ins) or not (stance.fallback or worth_a_fallback(error)):
            return None
        return Next("fall_back", number, self.stand_ins[number - 1])


def timeouts(tries: Sequence[Try]) -> int:
    """Attempts that ran out of time and were made again since the step was last varied."""
    count = 0
    for each in reversed(tries):
        if each.onward not in ("retry", "back_off"):
            break
        count += 1
    return count


def current_round(tries: Sequence[Try]) -> Sequence[Try]:
    """Those since a person last asked for it all again."""
    places = [place for place, each in enumerate(tries) if each.what == ASKED_AGAIN]
    return tries[places[-1] + 1 :] if places else tries


def stance_of(tries: Sequence[Try]) -> Stance:
    """Where they led to."""
    if not tries:
        return AS_WRITTEN
    variation = fallback = 0
    for each in current_round(tries):
        if each.onward == "vary":
            variation = each.number
        elif each.onward == "fall_back":
            fallback = each.number
    return Stance(variation, fallback)


def variation_of(policy: StepPolicy, tries: Sequence[Try]) -> Variation | None:
    """What is different in the attempt that is to be made now, if anything is, and the policy still has it."""
    for each in reversed(current_round(tries)):
        if each.onward == "vary":
            return next_variation(policy.vary, from_fault(each.fault), each.number)
    return None


def first_fault(tries: Sequence[Try]) -> MeshError | None:
    """Why something must stand in for its result: how its last attempt failed before anything did."""
    return next((from_fault(each.fault) for each in current_round(tries) if each.onward == "fall_back"), None)


def _too_slow(error: MeshError) -> bool:
    """Whether nobody has begun because everybody would run out of time, as was learned from those who did."""
    refusals = error.detail.get("refusals", ()) if isinstance(error, NoBids) else ()
    return bool(refusals) and all(": deadline: " in str(each) for each in refusals)


NOTHING_PLANNED = Plan()
