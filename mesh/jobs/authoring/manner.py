"""`Manner`: what a step's author says beside what is to be done: its policy, its fallbacks, how it is undone and what becomes of
it in doubt; and what a variation or a fallback makes of what was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from mesh.actors.declaring.contract import Contract, encode_payload
from mesh.jobs.authoring.policy import StepPolicy
from mesh.jobs.authoring.undo import Undo
from mesh.jobs.steps import stand_ins
from mesh.jobs.steps.calls import CallTerms
from mesh.jobs.steps.doubts import Doubt
from mesh.jobs.steps.onward import AskPerson, Plan
from mesh.jobs.steps.stand_ins import Fallbacks
from mesh.protocols.constraints import Constraints, Effect
from mesh.protocols.errors import StepMisused
from mesh.protocols.job_facts import StepKind
from mesh.resilience.variation import Variation


class Asked(NamedTuple):
    """A step as it was asked for."""

    key: str | None
    name: str
    kind: StepKind
    given: msgspec.Raw
    effect: Effect


@dataclass(frozen=True)
class Manner:
    """`contract` is that of the result; `policy` None means: the workflow's own."""

    contract: Contract
    policy: StepPolicy | None
    fallbacks: Fallbacks
    undo: Undo | None
    doubt: Doubt

    def must_suit(self, effect: Effect | None, what: str) -> None:
        """Whether all that may be said of a step of that effect; None: it is not known yet.

        Raises:
            StepMisused: it would repeat what may be done at most once, or makes no sense.
        """
        if self.policy is not None:
            self.policy.must_suit(effect, what)
        if self.fallbacks:
            stand_ins.must_suit(self.fallbacks, effect, what)

    def plan(self, policy: StepPolicy, left: Callable[[], float | None]) -> Plan:
        """How it goes on when it fails."""
        persons = {number: each for number, each in enumerate(self.fallbacks, 1) if isinstance(each, AskPerson)}
        return Plan(policy, tuple(stand_ins.words(each) for each in self.fallbacks), persons, left)


def varied(terms: CallTerms, variation: Variation | None) -> CallTerms:
    """The call as it is made then."""
    if variation is None:
        return terms
    return replace(
        terms,
        capability=variation.target or terms.capability,
        input=terms.input if variation.payload is msgspec.UNSET else encode_payload(variation.payload),
        labels={**terms.labels, **variation.labels},
        constraints=_both(terms.constraints, variation.constraints),
    )


def arguments_of(args: tuple[Any, ...], variation: Variation | None) -> tuple[Any, ...]:
    """The arguments with which a step of this process is done then.

    Raises:
        StepMisused: the variation is none of a step of this process.
    """
    if variation is None:
        return args
    if not isinstance(variation.payload, list | tuple):
        raise StepMisused("a step of this process is varied by its arguments: write Variation(payload=[…])")
    return tuple(variation.payload)


def instead(terms: CallTerms, capability: str) -> CallTerms:
    """The same asked of another capability, which declares its own effect."""
    return replace(terms, capability=capability, effect=None)


def _both(ours: Constraints | None, theirs: Constraints | None) -> Constraints | None:
    return theirs if ours is None else ours if theirs is None else ours.narrow(theirs)
