"""`StepPolicy`: what becomes of a step that ran out of time, or whose answer was no good. Written once, and handed to steps or to
a whole workflow:

    PATIENT = StepPolicy(on_timeout="back_off", attempts=5)
    WIDER = StepPolicy(vary=(Variation(payload={"pages": [1]}), Variation(labels={"tier": "large"})))

    @workflow("publish-review", policy=PATIENT)
    async def publish_review(job: Job, request: ReviewRequest) -> Review:
        return await job.call("review.write", request, returns=Review, policy=WIDER)

Only what may be repeated is repeated: not what may be done at most once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal, get_args

from mesh.protocols.constraints import Effect
from mesh.protocols.errors import StepMisused
from mesh.resilience.variation import Variation, Vary

OnTimeout = Literal["fail", "retry", "back_off", "skip"]
"""What becomes of a step that ran out of time. `fail`: its error is raised. `retry`: it is done again at once. `back_off`: it is
done again after a pause that grows, and nobody holds the job during a long one. `skip`: `Missing` stands for its result."""

MOST_ATTEMPTS = 100
MOST_VARIATIONS = 16


@dataclass(frozen=True, kw_only=True)
class StepPolicy:
    """`attempts` counts those that may run out of time, the first among them. The pause before attempt n + 1 is random between
    0 and `first` · 2^(n - 1) seconds, at most `longest` (full jitter, as in Brooker, "Exponential Backoff And Jitter", 2015).

    `vary` are tried in order, at most `MOST_VARIATIONS`, when the step failed in a way that the same again would not cure. Of a
    call, a variation's `target` is the capability that is called instead, its `labels` and `constraints` narrow who may do it
    besides, its `payload` takes the place of the input; of a step of this process, `payload` is the list of its arguments.
    Where `vary` is a function it is asked anew by each owner, and must give the same for the same error and number.

    Raises:
        StepMisused: it makes no sense; the message has the fix.
    """

    on_timeout: OnTimeout = "fail"
    attempts: int = 3
    first: float = 1.0
    longest: float = 300.0
    vary: Vary = ()

    def __post_init__(self) -> None:
        if self.on_timeout not in get_args(OnTimeout):
            raise StepMisused(f"on_timeout={self.on_timeout!r}: write one of {', '.join(get_args(OnTimeout))}")
        if not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise StepMisused(f"attempts={self.attempts!r}: write 1 to {MOST_ATTEMPTS}, the first attempt among them")
        if not 0 < self.first <= self.longest < float("inf"):
            raise StepMisused(f"first={self.first!r}, longest={self.longest!r}: write seconds, the first no longer")
        if not callable(self.vary):
            self._check(tuple(self.vary))

    def pause(self, number: int, chance: random.Random) -> float:
        """Seconds after attempt `number` until the next."""
        return chance.random() * min(self.longest, self.first * 2.0 ** (number - 1))

    @property
    def repeats(self) -> bool:
        """Whether the step may be done more than once because of it."""
        return self.on_timeout in ("retry", "back_off") or bool(self.vary)

    def bounded(self, effect: Effect) -> StepPolicy:
        """What is left of it for a step of that effect, where it was said for a whole workflow."""
        if effect != "at_most_once" or not self.repeats:
            return self
        return replace(self, on_timeout="skip" if self.on_timeout == "skip" else "fail", vary=())

    def must_suit(self, effect: Effect | None, what: str) -> None:
        """Whether it may be said of such a step.

        Raises:
            StepMisused: it would repeat what may be done at most once.
        """
        if effect == "at_most_once" and self.repeats:
            said = "vary=" if self.vary else f"on_timeout={self.on_timeout!r}"
            raise StepMisused(
                f"step {what!r} may be done at most once, and {said} would do it again: leave that out, or write "
                'on_timeout="skip", or give the step effect="idempotent" if its target honours the key'
            )

    def _check(self, vary: tuple[Variation, ...]) -> None:
        if len(vary) > MOST_VARIATIONS or not all(isinstance(each, Variation) for each in vary):
            raise StepMisused(f"vary= takes at most {MOST_VARIATIONS} Variation(…), or a function that gives them")
        for each in vary:
            if each.command:
                raise StepMisused(f"Variation(command={each.command!r}): a step has none; name a capability as target=")
            if each == Variation():
                raise StepMisused("Variation() varies nothing: give payload=, target=, labels= or constraints=")


NO_POLICY = StepPolicy()
"""A step that says nothing fails when it fails."""
