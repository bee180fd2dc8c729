"""Bugs that are planted on purpose: what a tired person might have written. The simulator must find each of them.

A plant patches production classes in the process of one seed (each seed has its own, see `runner`), so nothing is undone.
`seeds` are some that find it, found once with

    python -m tests.simulation --plant NAME --seeds 500 --jobs 2

and kept, so that the test is quick. To add one: write a function that patches, with a name, a sentence, and seeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec

from mesh.actors.peer import Peer
from mesh.contract_net.calls import Call
from mesh.contract_net.negotiation import Negotiation
from mesh.jobs.intake import admission, ingress, pulling
from mesh.jobs.intake.admission import Request
from mesh.jobs.journals import snapshots
from mesh.jobs.journals.journal import Journal
from mesh.jobs.steps import doubts
from mesh.jobs.steps.attempt import Attempt
from mesh.jobs.steps.steps import Steps
from mesh.jobs.waiting import timers, waking
from mesh.protocols import commitments
from mesh.protocols.awards import Candidate
from mesh.protocols.job_events import StepSucceeded
from mesh.protocols.job_state import JobState
from mesh.protocols.submission import Answer, job_id_for_key, terms_of
from tests.simulation import planted_ordeal, planted_press, planted_strain  # noqa: F401 - those of all that is not jobs and awards
from tests.simulation.plant import PLANTS as PLANTS
from tests.simulation.plant import planted
from tests.simulation.server import EXPECTED_SUBJECT


class _Unguarded:
    """A store that forgets the guard of every append."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, subject: str, data: bytes, **options: Any) -> Any:
        return await self._store.append(subject, data, **{**options, "expected": None})


@planted("no-fence", "the journal is appended to without a guard", 4, 7, 8)
def no_fence() -> None:
    _with_store(_Unguarded)


class _GuardedByWildcard(_Unguarded):
    """A store whose guards name a job whatever its tenant, with a wildcard: unsound on three replicas."""

    async def append(self, subject: str, data: bytes, **options: Any) -> Any:
        if options.get("expected") is not None and ".job." in subject:
            parts = subject.split(".")
            guard = ".".join([*parts[:3], "*", *parts[4:]])
            options["headers"] = {**(options.get("headers") or {}), EXPECTED_SUBJECT: guard}
        return await self._store.append(subject, data, **options)


@planted("wildcard-guard", "a journal is guarded by a subject with a wildcard", 12, 16)
def wildcard_guard() -> None:
    _with_store(_GuardedByWildcard)


def _with_store(kind: Callable[[Any], Any]) -> None:
    begin = Peer.__init__

    def wrapped(self: Peer, connection: Any, **options: Any) -> None:
        begin(self, SimpleNamespace(bus=connection.bus, store=kind(connection.store)), **options)

    Peer.__init__ = wrapped  # type: ignore[method-assign]


@planted("ack-before-journaled", "an ingress message is acknowledged before its job is journaled", 292, 72, 352)
def ack_before_journaled() -> None:
    _ack_first("ingress of")


@planted("inbox-acked-first", "what is said to a job is acknowledged before it is journaled", 50, 38, 66, 74)
def inbox_acked_first() -> None:
    _ack_first("inbox of")


def _ack_first(what: str) -> None:
    see_through = pulling.Pulling._see_through

    async def careless(self: Any, delivery: Any) -> None:
        if not self._what.startswith(what):
            return await see_through(self, delivery)
        await delivery.ack()
        await self._handle(delivery)
        return None

    pulling.Pulling._see_through = careless  # type: ignore[method-assign]


@planted("answered-before-journaled", "a submission is answered before its job is journaled", 63, 74, 55)
def answered_before_journaled() -> None:
    async def submit(self: Any, message: Any) -> None:
        work = self._seat.subjects.parse_submit(message.subject)
        request = Request(tenant=work.tenant, workflow=work.workflow, data=message.data, headers=message.headers)
        job = self._admission._job_id(request, terms_of(request.headers))
        self._answer(message, Answer(job=job))
        self._admitted(await self._admission.admit(request))

    ingress.Ingress._submit = submit  # type: ignore[method-assign]


@planted("key-forgotten", "a job's id does not follow from its key: handed in again, it is another job", 2, 1, 4, 3)
def key_forgotten() -> None:
    def any_id(self: Any, request: Any, terms: Any) -> str:
        return job_id_for_key(request.tenant, self._seat.ids.uuid())

    admission.Admission._job_id = any_id  # type: ignore[method-assign]


@planted("timer-lost", "timers are kept by the owner alone: nobody sets them on the server", 5, 8, 9)
def timer_lost() -> None:
    async def nothing(self: Any, *about: Any) -> None:
        return None

    timers.Timers.set = nothing  # type: ignore[method-assign]


@planted("timer-by-the-wall", "an owner minds times by its own wall clock", 83, 54, 103, 122)
def timer_by_the_wall() -> None:
    Journal.job_time = lambda self: self._clock.now()  # type: ignore[method-assign]


@planted("result-used-first", "a step's result is used before it is journaled", 5, 100)
def result_used_first() -> None:
    append, saw = Journal.append, Steps._saw

    async def later(self: Journal, *events: Any) -> None:
        if not all(isinstance(event, StepSucceeded) for event in events):
            return await append(self, *events)
        writing = asyncio.get_running_loop().create_task(append(self, *events))
        writing.add_done_callback(lambda task: task.cancelled() or task.exception())
        return None

    def blind(self: Steps, scope: Any, key: str) -> None:
        known = self._journal.state.steps.get(key)
        if known is not None and known.ended:
            saw(self, scope, key)

    Journal.append, Steps._saw = later, blind  # type: ignore[method-assign]


@planted("started-after-effect", "an award leaves before it is journaled", 3, 4, 12)
def started_after_effect() -> None:
    award = Attempt.award

    async def soon(self: Attempt, record: Any) -> None:
        writing = asyncio.get_running_loop().create_task(award(self, record))
        writing.add_done_callback(lambda task: task.cancelled() or task.exception())

    Attempt.award = soon  # type: ignore[method-assign]


@planted("award-forgotten", "a participant forgets an award once it is done: a copy is done again", 17, 97, 140)
def award_forgotten() -> None:
    finish = commitments.Commitments.finish

    def forgetful(self: Any, award: str, finished: Any) -> Any:
        commands = finish(self, award, finished)
        self._awards.pop(award, None)
        return commands

    commitments.Commitments.finish = forgetful  # type: ignore[method-assign]
    commitments.Commitments._obstacle = lambda self, received, bid, room, now: None  # type: ignore[method-assign]


@planted("at-most-once-again", "a local step that may be done at most once is run again after a crash", 219, 297)
def at_most_once_again() -> None:
    async def sure(self: Any, scope: Any, step: Any, doubt: Any) -> bool:
        return True

    doubts.Doubts.settle = sure  # type: ignore[method-assign]


@planted("effect-unsaid", "an award goes by the effect that its call began with, whatever its winner declares", 1217)
def effect_unsaid() -> None:
    judged = Negotiation.judged

    def deaf(self: Negotiation, candidate: Candidate) -> Candidate:
        return msgspec.structs.replace(judged(self, candidate), effect=self.call.effect or "costly")

    Negotiation.judged = deaf  # type: ignore[method-assign]


@planted(
    "double-award",
    "work that may be done at most once is awarded again when its winner is silent",
    143,
    169,
    199,
    218,
    261,
)
def double_award() -> None:
    terms = Call.terms

    def costly(self: Call, *arguments: Any) -> Any:
        found = terms(self, *arguments)
        return msgspec.structs.replace(found, effect="costly") if found.effect == "at_most_once" else found

    Call.terms = costly  # type: ignore[method-assign]


@planted("snapshot-drops-waits", "a snapshot does not have the waits that are open", 16, 45, 60)
def snapshot_drops_waits() -> None:
    seal = snapshots.seal

    def forgetful(state: JobState) -> msgspec.Raw:
        kept = {key: wait for key, wait in state.waits.items() if wait.answer is not None}
        waits, state.waits = state.waits, kept
        try:
            return seal(state)
        finally:
            state.waits = waits

    snapshots.seal = forgetful


@planted(
    "stale-timer",
    "a timer is acknowledged although the journal, as a server that lags behind shows it, has no such wait",
    661,
    1003,
)
def stale_timer() -> None:
    waking.MOST_UNKNOWN = 0
