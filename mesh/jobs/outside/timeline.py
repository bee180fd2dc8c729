"""The timeline of a job: who held it when, what was tried, waited for and undone, from when to when, and how it ended.

`spans` reads it from the journal; `gantt` draws it as Mermaid source. Times are job time, Unix seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

import msgspec

from mesh.protocols.awards import AwardRecord
from mesh.protocols.errors import Fault
from mesh.protocols.job_events import (
    Awarded,
    CompFailed,
    CompStarted,
    CompSucceeded,
    Event,
    Parked,
    StepFailed,
    StepInDoubt,
    StepRetried,
    StepStarted,
    StepSucceeded,
    Suspended,
    WaitOpened,
    WaitResolved,
)
from mesh.protocols.job_state import JobState, Recorded

Lane = Literal["owner", "step", "wait", "undo"]
How = Literal["open", "done", "failed", "lost"]


class Span(msgspec.Struct, kw_only=True):
    """One line of it. `to` is null while it goes on; `lost`: its owner was, before it ended. `money` is what it cost."""

    lane: Lane
    name: str
    since: float
    to: float | None = None
    how: How = "open"
    text: str = ""
    attempt: int = 1
    money: float = 0.0


def spans(records: Iterable[Recorded]) -> list[Span]:
    """Everything that took time, in the order in which it began. What a fork took over, or a snapshot holds, is not told."""
    drawing = _Drawing()
    for each in records:
        drawing.take(each)
    return sorted(drawing.found, key=lambda span: span.since)


class _Drawing:
    def __init__(self) -> None:
        self.found: list[Span] = []
        self._state = JobState()
        self._open: dict[tuple[Lane, str], Span] = {}

    def take(self, record: Recorded) -> None:
        before = self._state.head.owner if self._state.head and self._state.status == "running" else ""
        epoch = self._state.epoch
        if not self._state.apply(record):
            return
        if before and (self._state.status != "running" or self._state.epoch != epoch):
            self._let_go(record)
        if self._state.epoch != epoch and self._state.status == "running":
            number = f"owner number {self._state.epoch}" if self._state.epoch > 1 else ""
            self._begin("owner", self._state.head.owner if self._state.head else "", record.at, number)
        for event in record.entry.events:
            self._event(event, record.at)

    def _let_go(self, record: Recorded) -> None:
        """The owner is no longer that."""
        span = next((each for (lane, _), each in self._open.items() if lane == "owner"), None)
        if span is None:  # it came in a way of a later release
            return
        lost = self._state.status == "running"
        self._end("owner", span.name, record.at, "lost" if lost else "done", _farewell(record.entry.events, lost=lost))

    def _event(self, event: Event, at: float) -> None:
        match event:
            case StepStarted():
                self._end("step", event.key, at, "lost", "taken up again")
                self._begin("step", event.key, at, _award(event.award), event.attempt)
            case Awarded():
                self._awarded(event, at)
            case StepRetried():
                self._retried(event, at)
            case StepSucceeded():
                self._ended(event, at, "done", _given(event))
            case StepFailed():
                self._ended(event, at, "failed", ("skipped: " if event.skipped else "") + _told(event.fault))
            case StepInDoubt():
                self._end("step", event.key, at, "failed", f"in doubt: {event.reason}")
            case WaitOpened():
                self._begin("wait", event.key, at, f"{event.kind} {event.name}".strip())
            case WaitResolved():
                self._end("wait", event.key, event.at or at, "done", _answer(event))
            case CompStarted():
                self._begin("undo", event.key, at, "", event.attempt)
            case CompSucceeded():
                self._end("undo", event.key, at, "done", f"said by {event.by}" if event.by else "undone")
            case CompFailed():
                self._end("undo", event.key, at, "failed", _told(event.fault))

    def _awarded(self, event: Awarded, at: float) -> None:
        """A later release may have begun the step in a way that this one does not know."""
        if ("step", event.key) not in self._open:
            self._begin("step", event.key, at, "")
        self._open["step", event.key].text = _award(event.award)

    def _retried(self, event: StepRetried, at: float) -> None:
        """That attempt is over; the next one is told from here, unless it waits for its time."""
        if ("step", event.key) not in self._open:
            self._begin("step", event.key, at, "", event.attempt)
        self._end("step", event.key, at, "failed", f"{_told(event.fault)}; {_onward(event)}")

    def _ended(self, event: StepSucceeded | StepFailed, at: float, how: How, text: str) -> None:
        if ("step", event.key) not in self._open:
            self._begin("step", event.key, at - event.usage.duration, "", self._state.steps[event.key].attempt)
        self._open["step", event.key].money = event.usage.money
        self._end("step", event.key, at, how, text)

    def _begin(self, lane: Lane, name: str, at: float, text: str, attempt: int = 1) -> None:
        span = self._open[lane, name] = Span(lane=lane, name=name, since=at, text=text, attempt=attempt)
        self.found.append(span)

    def _end(self, lane: Lane, name: str, at: float, how: How, text: str) -> None:
        span = self._open.pop((lane, name), None)
        if span is not None:
            span.to, span.how = max(at, span.since), how
            span.text = "; ".join(filter(None, (span.text, text)))


def gantt(title: str, found: list[Span], until: float) -> str:
    """The same as a Mermaid gantt chart; what goes on is drawn up to `until`."""
    lines = ["gantt", f"    title {_plain(title)}", "    dateFormat x", "    axisFormat %H:%M:%S"]
    for lane in ("owner", "step", "wait", "undo"):
        section = [each for each in found if each.lane == lane]
        if section:
            lines.append(f"    section {_SECTIONS[lane]}")
            lines += [_task(f"{lane}{number}", each, until) for number, each in enumerate(section, 1)]
    return "\n".join(lines) + "\n"


_SECTIONS = {"owner": "Owners", "step": "Steps", "wait": "Waits", "undo": "Undone"}
_TAGS = {"open": "active, ", "done": "done, ", "failed": "crit, ", "lost": "crit, "}


def _task(token: str, span: Span, until: float) -> str:
    name = span.name + (f" (attempt {span.attempt})" if span.attempt > 1 else "")
    since, to = round(span.since * 1000), round((until if span.to is None else span.to) * 1000)
    return f"    {_plain(name)} :{_TAGS[span.how]}{token}, {since}, {max(to, since + 1)}"


def _plain(text: str) -> str:
    """Without what means something in Mermaid's source."""
    return re.sub(r"[:;#%\s]+", " ", text).strip()[:80] or "-"


def _award(award: AwardRecord | None) -> str:
    if award is None:
        return ""
    bids = len(award.candidates)
    return (
        f"{award.won.agent}.{award.won.instance} of {bids} bids"
        if bids > 1
        else f"{award.won.agent}.{award.won.instance}"
    )


def _farewell(events: Iterable[Event], *, lost: bool) -> str:
    if lost:
        return "lost"
    for event in events:
        if isinstance(event, Parked):
            return f"parked: {event.reason}"
        if isinstance(event, Suspended):
            return "nothing to do meanwhile"
    return ""


def _answer(event: WaitResolved) -> str:
    until = f" {datetime.fromtimestamp(event.at, UTC):%H:%M:%S}" if event.how in ("due", "expired") and event.at else ""
    return event.how + until + (f" by {event.by}" if event.by else "") + (f": {event.reason}" if event.reason else "")


def _given(event: StepSucceeded) -> str:
    by = f"by {event.by}" if event.by else ""
    degraded = f"{event.source if event.source != 'full' else 'degraded'}: {event.degraded}" if event.degraded else ""
    return "; ".join(filter(None, (by, degraded)))


def _onward(event: StepRetried) -> str:
    if event.onward == "back_off":
        return f"again from {datetime.fromtimestamp(event.until, UTC):%H:%M:%S} on" if event.until else "again"
    return {"retry": "again at once", "vary": "varied: ", "fall_back": "instead: "}[event.onward] + event.what


def _told(fault: Fault) -> str:
    return f"{fault.code}: {fault.message}"
