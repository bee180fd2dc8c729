"""Bugs that are planted in kill switches on jobs, hedges, degraded answers, the registry, tools, outputs, tokens and deadlines. As
`planted.py`, which has those of jobs and awards.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mesh.actors.asking import hedging
from mesh.actors.asking.question import Question
from mesh.actors.running.tools import ToolCall
from mesh.contract_net import hedged
from mesh.contract_net.telling import AwardResponder
from mesh.jobs.steps.attempt import Attempt
from mesh.jobs.steps.calling import Calling
from mesh.jobs.steps.gate import Gate
from mesh.jobs.steps.steps import Steps
from mesh.jobs.waiting import inbox
from mesh.policy import limiter
from mesh.policy.meter import Reservation
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import BreakerOpen
from mesh.protocols.ports import KeyValue
from mesh.registry.publication import Publication
from mesh.registry.sweeper import Sweeper
from mesh.resilience.breaker import Permit
from mesh.resilience.budget import RetryBudget
from mesh.resilience.hedging import Pace
from mesh.resilience.quality_breaker import QualityBreaker
from tests.simulation.place import HERE
from tests.simulation.plant import planted

# -- kill switches on jobs


@planted("gate-left-open", "a job begins its steps, whatever of it is killed", 43, 47)
def gate_left_open() -> None:
    async def passes(self: Gate, *about: Any, **names: Any) -> None:
        return None

    Gate.passes = passes  # type: ignore[method-assign]


@planted("gate-for-calls-only", "only calls are held back by a kill switch, and no other kind of step", 47, 121)
def gate_for_calls_only() -> None:
    passes = Gate.passes

    async def some(self: Gate, scope: Any, key: str, *, step_kind: str, **names: Any) -> None:
        if step_kind == "call":
            await passes(self, scope, key, step_kind=step_kind, **names)

    Gate.passes = some  # type: ignore[method-assign]


@planted("gate-passed-long-ago", "what is killed while an agent for it is looked for is begun all the same", 1548, 2381)
def gate_passed_long_ago() -> None:
    Attempt._must_be_allowed = lambda self, capability="": None  # type: ignore[method-assign]


# -- hedges


@planted("hedges-without-end", "half of all calls may have a second attempt", 24, 28)
def hedges_without_end() -> None:
    begin = Pace.__init__

    def generous(self: Pace, hedge: Any) -> None:
        begin(self, hedge)
        self._budget = RetryBudget(0.5, reserve=0.0, most=10.0)

    Pace.__init__ = generous  # type: ignore[method-assign]


@planted("hedges-anything", "what may be done at most once is hedged, too", 24, 66)
def hedges_anything() -> None:
    hedging.must_be_pure = hedged.must_be_pure = lambda effect, what: None


@planted("usage-told-twice", "what an attempt has used is told when it answers, and once more with the answer", 66, 122)
def usage_told_twice() -> None:
    attempt = Question.__call__

    async def told(self: Question, number: int) -> Envelope:
        reply = await attempt(self, number)
        if self._wish.on_usage is not None and reply.usage is not None:
            self._wish.on_usage(reply.usage)
        return reply

    Question.__call__ = told  # type: ignore[method-assign]


# -- degraded answers


@planted("degraded-not-journaled", "a step's result that is degraded is journaled as a full one", 82, 116)
def degraded_not_journaled() -> None:
    call = Calling.call

    async def silent(self: Calling, *about: Any) -> Any:
        return _full(await call(self, *about))

    Calling.call = silent  # type: ignore[method-assign]


def _full(outcome: Any) -> Any:
    return type(outcome)(outcome.content, outcome.usage, outcome.stamps, outcome.by, outcome.source)


@planted(
    "degraded-lost-with-an-award", "who does what it was awarded does not say that its result is degraded", 82, 116
)
def degraded_lost_with_an_award() -> None:
    result = AwardResponder.result
    AwardResponder.result = lambda self, value, usage, degraded="": result(self, value, usage)  # type: ignore[method-assign]


@planted("degraded-child", "a child's result that is degraded comes to its parent as a full one", 82, 116)
def degraded_child() -> None:
    inbox.in_short = lambda degraded: ""


@planted("degraded-untold", "a workflow is not told which of its steps are degraded", 82, 116)
def degraded_untold() -> None:
    saw = Steps._saw

    def forgetful(self: Steps, scope: Any, key: str) -> None:
        saw(self, scope, key)
        self.degraded.clear()

    Steps._saw = forgetful  # type: ignore[method-assign]


# -- who is there


@planted(
    "unlisted-for-ever",
    "records whose lease is not heard of yet are swept, and who wrote them takes that for news from before its last write",
    6,
    218,
)
def unlisted_for_ever() -> None:
    async def all_of_them(self: Sweeper, process: str, leftovers: dict[str, int]) -> dict[str, int]:
        return leftovers

    stored, heard = Publication._write_one, Publication.heard

    async def noted(self: Publication, bucket: Any, key: str) -> None:
        await stored(self, bucket, key)
        found = await bucket.get(key)
        if found is not None:
            self.__dict__.setdefault("_written", {})[key] = found.revision

    def of_before(self: Publication, change: KeyValue) -> bool:
        return change.revision >= self.__dict__.get("_written", {}).get(change.key, 0) and heard(self, change)

    Sweeper._orphaned = all_of_them  # type: ignore[method-assign]
    Publication._write_one, Publication.heard = noted, of_before  # type: ignore[method-assign]
    Publication.passed = lambda self, revision: False  # type: ignore[method-assign]
    never_looked_up()


@planted("record-not-written-again", "a record that was removed by mistake is not written again", 6, 150)
def record_not_written_again() -> None:
    async def all_of_them(self: Sweeper, process: str, leftovers: dict[str, int]) -> dict[str, int]:
        return leftovers

    Sweeper._orphaned = all_of_them  # type: ignore[method-assign]
    Publication.heard = lambda self, change: False  # type: ignore[method-assign]
    Publication.passed = lambda self, revision: False  # type: ignore[method-assign]
    never_looked_up()


@planted("passed-over-for-ever", "a record of whose writing and removal no watch told is not written again", 911409)
def passed_over_for_ever() -> None:
    Publication.passed = lambda self, revision: False  # type: ignore[method-assign]
    never_looked_up()


@planted("never-looked-up", "a record of which no watch tells is not looked up", 68779)
def never_looked_up() -> None:
    async def not_at_all(self: Publication) -> None:
        return None

    Publication.recheck = not_at_all  # type: ignore[method-assign]


# -- tools and outputs


@planted("tool-goes-round", "a tool is called although its breaker has no permit left", 6, 29)
def tool_goes_round() -> None:
    admitted = ToolCall._admitted

    def careless(self: ToolCall, now: float) -> Permit:
        try:
            return admitted(self, now)
        except BreakerOpen:
            return Permit(-1, False)

    ToolCall._admitted = careless  # type: ignore[method-assign]


@planted("tool-never-told", "the breaker of a tool does not hear of calls that ended well", 6, 50)
def tool_never_told() -> None:
    ended = ToolCall._ended

    def silent(self: ToolCall, error: BaseException | None) -> None:
        if error is not None:
            ended(self, error)

    ToolCall._ended = silent  # type: ignore[method-assign]


@planted("output-one-more", "a half-open quality breaker has one permit too many", 22, 23)
def output_one_more() -> None:
    permits = QualityBreaker.permits
    QualityBreaker.permits = lambda self, now: permits(self, now) + (self.state == "half-open")  # type: ignore[method-assign]


@planted("output-never-well", "outputs that fit do not close a quality breaker that is half-open", 22, 23)
def output_never_well() -> None:
    judge = QualityBreaker._judge

    def strict(self: QualityBreaker, gate: str, *, passed: bool, now: float) -> None:
        if not passed:
            judge(self, gate, passed=passed, now=now)

    QualityBreaker._judge = strict  # type: ignore[method-assign]


# -- tokens and deadlines


@planted("tokens-unsaid", "nobody settles what a call has used", 57, 67)
def tokens_unsaid() -> None:
    Reservation.settle = lambda self, tokens: None  # type: ignore[method-assign]


@planted("tokens-for-each", "every process has the whole of a limit of tokens for itself", 127, 160)
def tokens_for_each() -> None:
    key = limiter.state_key
    limiter.state_key = lambda *limit: f"{key(*limit)}.{HERE.get().name}"  # type: ignore[assignment]


@planted(
    "time-in-full",
    "a message gives all the time that the command has by default, and not what its caller has left",
    9,
    49,
)
def time_in_full() -> None:
    envelope = Question.envelope

    def generous(self: Question, number: int, now: float) -> Envelope:
        return msgspec.structs.replace(envelope(self, number, now), remaining=self.route.timeout)

    Question.envelope = generous  # type: ignore[method-assign]
