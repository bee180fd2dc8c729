"""`Inbox`: what was said to a job and is not journaled yet, one event a message, in the order in which it was said."""

from __future__ import annotations

from collections.abc import Callable

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.streams import INBOX
from mesh.jobs.outside.words import in_short
from mesh.jobs.waiting.echoes import Echoes
from mesh.protocols.errors import BadPayload, UnknownJob
from mesh.protocols.job_events import CancelRequested, Event, How, Paused, PauseRequested, Resumed, WaitResolved, Woken
from mesh.protocols.job_inbox import (
    ChildEnded,
    ChildOutcome,
    Pause,
    Resume,
    SendSignal,
    echoed,
    read_said,
    taken,
    unreadable,
)
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Clock, Stored

CHILD_PATIENCE = 2.0
"""Seconds for which a child that said it ends is waited for, before the next message has its turn."""
FIRST_PAUSE = 0.01
ANEW_WITHIN = 600.0
"""Seconds after which its word counts for nothing: whoever has owned it since, and will end it, says so anew a moment before."""
FIRST_SAID = "Mesh-First-Said"
"""The header that says when that was, of a word that went to the end of the inbox; Unix seconds."""


class Inbox:
    """The stream INBOX, for reading."""

    def __init__(self, journals: Journals, clock: Clock) -> None:
        self._journals = journals
        self._store = journals.store
        self._subjects = journals.subjects
        self._stream = journals.subjects.stream(INBOX)
        self._clock = clock
        self._echoes = Echoes(journals)

    async def unread(self, state: JobState, tenant: str) -> list[Stored]:
        """The messages that are not journaled yet.

        Raises:
            Transient: the store is out of reach.
        """
        return await self._store.read(self._stream, self._subjects.inbox(tenant, state.job), after=state.inbox)

    async def decision(self, state: JobState, tenant: str, stored: Stored) -> Callable[[], tuple[Event, ...]]:
        """What the first of them comes to, by the state as it is whenever that is asked.

        Raises:
            Transient: the store is out of reach.
        """
        event = await self._event(state, tenant, stored)
        if isinstance(event(), CancelRequested | PauseRequested | Resumed):
            await self._pass_on(state, tenant, stored)

        def events() -> tuple[Event, ...]:
            what = event()
            paused = isinstance(what, PauseRequested) and state.unowned and state.status != "paused"
            return (what, Paused()) if paused else (what,)

        return events

    async def _pass_on(self, state: JobState, tenant: str, stored: Stored) -> None:
        """What is said to a job is said to its children, before it is journaled: so that no crash keeps it from them."""
        children = [each.opened.child for each in state.open_waits if each.opened.kind == "child"]
        for each in children:
            subject = self._subjects.inbox(tenant, each)
            await self._store.append(subject, stored.data, message_id=f"{each}.{stored.sequence}")

    async def _event(self, state: JobState, tenant: str, stored: Stored) -> Callable[[], Event]:
        try:
            said = read_said(stored.data)
        except BadPayload as error:
            passed = unreadable(stored.sequence, error.message)
            return lambda: passed
        if isinstance(said, Pause | Resume | SendSignal):  # of the others a second one changes nothing by itself
            first = await self._echoes.first(tenant, state.job, stored, state.inbox)
            if first != stored.sequence:
                return lambda: echoed(said, stored.sequence, first)
        child = await self._child(state, tenant, said, stored) if isinstance(said, ChildEnded) else None
        return lambda: taken(state, said, stored.sequence, stored.time, child)

    async def _child(self, state: JobState, tenant: str, said: ChildEnded, stored: Stored) -> ChildOutcome | None:
        """How the child ended. It says so a moment before it does, so that its word cannot be lost; where it is not true yet,
        the message goes to the end of the inbox, for a while."""
        wait = state.waits.get(said.key)
        if wait is None or wait.answer is not None or wait.opened.child != said.job:
            return None
        pause, give_up = FIRST_PAUSE, self._clock.monotonic() + CHILD_PATIENCE
        while True:
            child = await self._ended(tenant, said.job)
            if child is not None:
                return child
            if self._clock.monotonic() >= give_up:
                await self._ask_again(stored)
                return None
            await self._clock.sleep(pause)
            pause *= 2

    async def _ask_again(self, stored: Stored) -> None:
        first = _first_said(stored)
        if stored.time - first < ANEW_WITHIN:
            await self._store.append(stored.subject, stored.data, headers={FIRST_SAID: repr(first)})

    async def _ended(self, tenant: str, job: str) -> ChildOutcome | None:
        last = await self._journals.last(tenant, job)
        if last is None or last.entry.head.state not in TERMINAL:
            return None
        try:
            state = await self._journals.state(tenant, job)
        except UnknownJob:
            return None
        if not state.terminal:  # read from a server that lags behind the one that has told of the end
            return None
        return ChildOutcome(
            output=state.output, fault=state.fault, usage=state.usage, degraded=in_short(state.degraded)
        )


def _first_said(stored: Stored) -> float:
    try:
        return float((stored.headers or {}).get(FIRST_SAID, stored.time))
    except ValueError:
        return stored.time


def ready(state: JobState, at: float) -> tuple[Event, ...]:
    """What the journal and the time make of the open waits by Unix time `at`, by the server's clock: a signal that came before
    it was waited for, or the end of what there was time for. Also that a job nobody drives must be ended in time."""
    signals = list(state.signals)
    events: list[Event] = []
    for each in state.open_waits:
        early = next(
            (signal for signal in signals if each.opened.kind == "signal" and signal.name == each.opened.name), None
        )
        if early is not None:
            signals.remove(early)
            events.append(
                WaitResolved(
                    key=each.opened.key,
                    how="signalled",
                    value=early.value,
                    by=early.by,
                    at=at or state.updated_at,
                    inbox=early.inbox,
                )
            )
        elif each.due(at):
            how: How = "due" if each.opened.kind == "timer" else "expired"
            events.append(WaitResolved(key=each.opened.key, how=how, at=each.opened.until or at))
    if not events and state.unowned and state.status != "submitted" and overdue(state, at):
        events.append(Woken(reason="the job's deadline has come"))
    return tuple(events)


def overdue(state: JobState, at: float) -> bool:
    """Whether the job's own deadline has passed."""
    until = deadline_of(state)
    return until is not None and at >= until


def deadline_of(state: JobState) -> float | None:
    """The job's deadline in Unix seconds, by the server's clock. Undoing what it had done has none."""
    if state.undoing is not None or state.submitted is None or state.submitted.deadline is None or state.head is None:
        return None
    return state.head.submitted_at + state.submitted.deadline
