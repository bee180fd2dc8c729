"""Replaying: a workflow is run once more against what its journal says, and the first difference is told, both sides of it.

Every step that has ended gives what it gave; whatever is new, or was still under way, is held there. Nothing is sent, nothing
journaled, nothing kept. So any journal can be tried against the code of today: of a job that runs, waits, or ended long ago.

    report = await replay(records, publish_review)
    assert report.ok, report
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from mesh.clock import SeededIds, SystemClock
from mesh.jobs.authoring.workflow import Workflow
from mesh.jobs.journals.journal import Journal
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.values import Values
from mesh.jobs.journals.writer import Decide
from mesh.jobs.owning.seat import Seat
from mesh.jobs.replay.differences import differences
from mesh.jobs.replay.divergence import Divergence
from mesh.jobs.running.driving import Outcome, outcome_of
from mesh.jobs.running.run import Run
from mesh.jobs.waiting.inbox import Inbox
from mesh.jobs.waiting.timers import Timers
from mesh.protocols.errors import JournalCorrupt, ReplayDiverged
from mesh.protocols.job_events import Completed, Event, Failed, Submitted
from mesh.protocols.job_state import JobState, Recorded, fold
from mesh.protocols.ports import Clock, Store
from mesh.protocols.subjects import Subjects
from mesh.transport.memory.server import MemoryServer

Fetch = Callable[[str], Awaitable[bytes]]
"""The object behind a digest; raises KeyError where there is none."""

_FROM_OUTSIDE = frozenset({"cancelled", "compensated", "dead_lettered"})
"""States in which a job ends without its workflow having come to an end of its own."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a replay. `recalled` counts the steps that the journal has, `held` names what the workflow asks for beyond
    its end; `ended` says whether the workflow came to an end of its own."""

    job: str
    workflow: str
    version: int
    state: str
    entries: int
    recalled: int
    ended: bool
    held: tuple[str, ...] = ()
    divergence: Divergence | None = None

    @property
    def ok(self) -> bool:
        """Whether the code does what the journal says."""
        return self.divergence is None

    def __str__(self) -> str:
        what = f"job {self.job} ({self.workflow} version {self.version}, {self.state})"
        if self.divergence is not None:
            return f"{what}: {self.divergence.message}"
        return f"{what}: {self.recalled} steps recalled, nothing is different"


async def replay(records: Sequence[Recorded], workflow: Workflow[Any], fetch: Fetch | None = None) -> Report:
    """Run the workflow against a job's entries, from the first or from one that holds what was before. `fetch` gives the objects
    of large values.

    Raises:
        JournalCorrupt: this is no journal that can be run, or an object is missing.
    """
    state = fold(records)
    return await replay_state(state, workflow, fetch)


async def replay_state(state: JobState, workflow: Workflow[Any], fetch: Fetch | None = None) -> Report:
    """The same, with the journal folded already."""
    if state.head is None or state.submitted is None:
        raise JournalCorrupt(
            "there is nothing to replay: the journal has no first entry, or only its tombstone is left"
        )
    if state.unreadable:
        raise JournalCorrupt(f"job {state.job} has an event of a later release ({state.unreadable}): replay it there")
    outcome: Outcome | None = None
    run, journal, values = _stage(state, workflow, fetch)

    async def work() -> None:
        nonlocal outcome
        outcome = await outcome_of(run, journal, values)

    ended, held = await run.retrace(work())
    if isinstance(outcome, Failed) and outcome.fault.code == JournalCorrupt.code:
        raise JournalCorrupt(outcome.fault.message)
    divergence = run.course.diverged
    if divergence is None and ended and outcome is not None:
        divergence = await _end_differs(state, outcome, values)
    elif divergence is None:
        divergence = _unasked(run, held) or _beyond(state, held)
    return Report(
        job=state.job,
        workflow=workflow.name,
        version=workflow.version,
        state=state.status,
        entries=state.entries,
        recalled=sum(each.ended for each in state.steps.values()),
        ended=ended,
        held=tuple(held),
        divergence=divergence,
    )


def _stage(state: JobState, workflow: Workflow[Any], fetch: Fetch | None) -> tuple[Run, Journal, Values]:
    """A run whose world is empty, and in memory."""
    clock, subjects = SystemClock(), Subjects()
    ids = SeededIds(clock, seed=0)
    connection = MemoryServer(clock, ids).connect("replay")
    store, journals = connection.store, Journals(connection.store, subjects)
    seat = Seat(bus=connection.bus, store=store, clock=clock, ids=ids, subjects=subjects, process="replay")
    journal = _Sealed(journals, clock, ids, _as_it_went(state), tenant=_tenant(state), owner="replay")
    values = _Recalled(store, subjects, clock, fetch)
    contractor: Any = None
    run = Run(seat, journal, workflow, contractor, values, Inbox(journals, clock), Timers(store, subjects))
    run.course.on_change = "rerun" if workflow.on_change == "rerun" else "strict"
    return run, journal, values


def _as_it_went(state: JobState) -> JobState:
    """The state without what was said to the job from outside: the workflow is to come as far as it had come."""
    state.cancel = state.pause = None
    state.waits = {
        key: wait._replace(answer=None) if wait.answer is not None and wait.answer.how == "dropped" else wait
        for key, wait in state.waits.items()
    }
    submitted: Submitted | None = state.submitted
    if submitted is not None and submitted.deadline is not None:
        state.submitted = msgspec.structs.replace(submitted, deadline=submitted.deadline + 3600.0)
    return state


async def _end_differs(state: JobState, outcome: Outcome, values: Values) -> Divergence | None:
    """Whether it ended as the journal says."""
    if state.output is not None and isinstance(outcome, Completed):
        before = msgspec.json.decode(await values.load(state.output))
        lines = differences(before, msgspec.json.decode(await values.load(outcome.output)))
        return _outcome("its result", "returns another one", lines) if lines else None
    if state.output is not None:
        return _outcome("a result", f"fails with {_code(outcome)}")
    if state.fault is None or state.status in _FROM_OUTSIDE:
        return None
    if isinstance(outcome, Completed):
        return _outcome(f"a failure, {state.fault.code}", "returns a result")
    if _code(outcome) != state.fault.code and state.fault.code != "deadline-exceeded":
        return _outcome(f"a failure, {state.fault.code}", f"fails with {_code(outcome)}")
    return None


def _beyond(state: JobState, held: Sequence[str]) -> Divergence | None:
    """A job that is over cannot have gone on, unless it was ended from outside or ran out of time."""
    over = state.terminal and state.status not in _FROM_OUTSIDE
    if not over or not held or (state.fault is not None and state.fault.code == "deadline-exceeded"):
        return None
    return Divergence(key=held[0], kind="beyond", journaled="its end before", asked="asks for it")


def _unasked(run: Run, held: Sequence[str]) -> Divergence | None:
    left = run.course.ahead.all()
    if not left:
        return None
    asked = f"asks for {held[0]!r} instead" if held else "does not come to it"
    return Divergence(key=left[0], kind="unasked", journaled="it", asked=asked)


def _outcome(journaled: str, asked: str, lines: Sequence[str] = ()) -> Divergence:
    return Divergence(key="", kind="outcome", journaled=journaled, asked=asked, diff=tuple(lines))


def _code(outcome: Outcome) -> str:
    return "" if isinstance(outcome, Completed) else outcome.fault.code


def _tenant(state: JobState) -> str:
    return state.head.tenant if state.head else ""


class _Sealed(Journal):
    """A journal that takes nothing more. Whatever would write is held before it does."""

    async def append(self, *events: Event) -> None:
        raise ReplayDiverged(f"the replay would have journaled {type(events[0]).__name__}: this must not be")

    async def decide(self, decide: Decide) -> None:
        raise ReplayDiverged("the replay would have journaled something: this must not be")

    def note(self, event: Event) -> None:
        """What is only told is not told again."""


class _Recalled(Values):
    """Values that are fetched and not kept: what would be kept is remembered here."""

    def __init__(self, store: Store, subjects: Subjects, clock: Clock, fetch: Fetch | None) -> None:
        super().__init__(store, subjects, clock)
        self._kept: dict[str, bytes] = {}
        self._fetch = fetch

    async def put(self, data: bytes, what: str = "object") -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self._kept[digest] = data
        return digest

    async def get(self, digest: str) -> bytes:
        if digest in self._kept:
            return self._kept[digest]
        if self._fetch is None:
            raise KeyError(digest)
        return await self._fetch(digest)


__all__ = ["Fetch", "Report", "replay", "replay_state"]
