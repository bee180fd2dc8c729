"""Bugs that are planted on purpose: what a tired person might have written. The simulator must find each of them.

A plant patches production classes in the process of one seed (each seed has its own, see `runner`), so nothing is undone.
`seeds` are some that find it, found once with

    python -m tests.simulation --plant NAME --seeds 500 --jobs 2

and kept, so that the test is quick. To add one: write a function that patches, with a name, a sentence, and seeds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from mesh.contract_net import participant
from mesh.jobs import admission, doubts, ingress, pulling, snapshots, tenure, timers, waking
from mesh.jobs.journal import Journal
from mesh.jobs.journals import Journals
from mesh.jobs.steps import Attempt, Steps
from mesh.protocols import commitments
from mesh.protocols.job_events import StepSucceeded
from mesh.protocols.job_state import JobState
from mesh.protocols.submission import job_id_for_key
from mesh.registry.holder import Holder


@dataclass(frozen=True)
class Plant:
    """One planted bug."""

    name: str
    what: str
    install: Callable[[], None]
    seeds: tuple[int, ...]
    """Seeds that find it."""


PLANTS: dict[str, Plant] = {}


def planted(name: str, what: str, *seeds: int) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """The function below plants this bug."""

    def keep(install: Callable[[], None]) -> Callable[[], None]:
        PLANTS[name] = Plant(name, what, install, seeds)
        return install

    return keep


class _Unguarded:
    """A store that forgets the guard of every append."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, subject: str, data: bytes, **options: Any) -> Any:
        return await self._store.append(subject, data, **{**options, "expected": None})


@planted("no-fence", "the journal is appended to without a guard")
def no_fence() -> None:
    begin = Journals.__init__

    def unguarded(self: Journals, store: Any, *arguments: Any) -> None:
        begin(self, _Unguarded(store), *arguments)

    Journals.__init__ = unguarded  # type: ignore[method-assign]


@planted("ack-before-journaled", "an ingress message is acknowledged before its job is journaled")
def ack_before_journaled() -> None:
    _ack_first("ingress of")


@planted("inbox-acked-first", "what is said to a job is acknowledged before it is journaled")
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


@planted("answered-before-journaled", "a submission is answered before its job is journaled")
def answered_before_journaled() -> None:
    begin = admission.Admission._begin_or_claim

    async def soon(self: Any, tenant: str, job: str, submitted: Any) -> Any:
        import asyncio

        asyncio.get_running_loop().create_task(begin(self, tenant, job, submitted))
        return False, None

    admission.Admission._begin_or_claim = soon  # type: ignore[method-assign]


@planted("key-forgotten", "a job's id does not follow from its key: handed in again, it is another job")
def key_forgotten() -> None:
    def any_id(self: Any, request: Any, terms: Any) -> str:
        return job_id_for_key(request.tenant, self._seat.ids.uuid())

    admission.Admission._job_id = any_id  # type: ignore[method-assign]


@planted("timer-lost", "timers are kept by the owner alone: nobody sets them on the server")
def timer_lost() -> None:
    async def nothing(self: Any, *about: Any) -> None:
        return None

    timers.Timers.set = nothing  # type: ignore[method-assign]


@planted("timer-by-the-wall", "an owner minds times by its own wall clock")
def timer_by_the_wall() -> None:
    Journal.job_time = lambda self: self._clock.now()  # type: ignore[method-assign]


@planted("result-used-first", "a step's result is used before it is journaled")
def result_used_first() -> None:
    append = Journal.append

    async def later(self: Journal, *events: Any) -> None:
        if not all(isinstance(event, StepSucceeded) for event in events):
            return await append(self, *events)
        import asyncio

        writing = asyncio.get_running_loop().create_task(append(self, *events))
        writing.add_done_callback(lambda task: task.cancelled() or task.exception())
        for event in events:
            self.state.steps.setdefault(event.key, _ended(event))
        return None

    Journal.append = later  # type: ignore[method-assign]


def _ended(event: StepSucceeded) -> Any:
    from mesh.protocols.job_state import StepState

    return StepState(event.key)


@planted("started-after-effect", "an award leaves before it is journaled")
def started_after_effect() -> None:
    award = Attempt.award

    async def soon(self: Attempt, record: Any) -> None:
        import asyncio

        writing = asyncio.get_running_loop().create_task(award(self, record))
        writing.add_done_callback(lambda task: task.cancelled() or task.exception())

    Attempt.award = soon  # type: ignore[method-assign]


@planted("award-forgotten", "a participant forgets an award once it is done: a copy is done again")
def award_forgotten() -> None:
    finish = commitments.Commitments.finish

    def forgetful(self: Any, award: str, finished: Any) -> Any:
        commands = finish(self, award, finished)
        self._awards.pop(award, None)
        return commands

    commitments.Commitments.finish = forgetful  # type: ignore[method-assign]
    commitments.Commitments._obstacle = lambda self, received, bid, room, now: None  # type: ignore[method-assign]
    participant.Participant._begin = functools.partialmethod(participant.Participant._begin)  # type: ignore[assignment]


@planted("at-most-once-again", "a local step that may be done at most once is run again after a crash")
def at_most_once_again() -> None:
    async def sure(self: Any, scope: Any, step: Any, doubt: Any) -> bool:
        return True

    doubts.Doubts.settle = sure  # type: ignore[method-assign]


@planted("double-award", "work that may be done at most once is awarded again when its winner is silent")
def double_award() -> None:
    from mesh.contract_net.calls import Call

    terms = Call.terms

    def costly(self: Call, *arguments: Any) -> Any:
        found = terms(self, *arguments)
        return msgspec.structs.replace(found, effect="costly") if found.effect == "at_most_once" else found

    Call.terms = costly  # type: ignore[method-assign]


@planted("snapshot-drops-waits", "a snapshot does not have the waits that are open")
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


@planted("lease-without-guard", "a lease is renewed over whatever is there")
def lease_without_guard() -> None:
    write = Holder._write

    async def over(self: Holder, lease: Any, revision: int) -> bool:
        return await write(self, lease, None)  # type: ignore[arg-type]

    Holder._write = over  # type: ignore[method-assign]


@planted(
    "taken-from-the-living",
    "a job that is driven elsewhere is claimed as if its owner were dead, and its owner goes on",
)
def taken_from_the_living() -> None:
    Journal.check = lambda self: None  # type: ignore[method-assign]


@planted(
    "stale-timer",
    "a timer is acknowledged although the journal, as a server that lags behind shows it, has no such wait",
)
def stale_timer() -> None:
    waking.MOST_UNKNOWN = 0


__all__ = ["PLANTS", "Plant", "Steps", "ingress", "tenure"]
