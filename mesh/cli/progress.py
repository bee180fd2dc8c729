"""What a person sees while a job runs: who bid what, who won and why, and the steps as they end.

`narrate` turns one journal entry into lines, purely; `JobProgress` shows them: on a terminal above a table of what is under
way, elsewhere as plain lines. Everything goes to stderr: stdout belongs to the result. Used by submit, review and demo.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from mesh.cli.output import printable
from mesh.jobs.outside.words import in_short
from mesh.protocols.awards import AwardRecord, Candidate
from mesh.protocols.job_events import (
    ArtifactPut,
    Awarded,
    Cancelled,
    CancelRequested,
    Compensated,
    CompFailed,
    Completed,
    CompSucceeded,
    DeadLettered,
    Event,
    Failed,
    OwnerClaimed,
    OwnerReleased,
    Parked,
    Paused,
    PauseRequested,
    Progressed,
    Resumed,
    StepFailed,
    StepInDoubt,
    StepRetried,
    StepStarted,
    StepSucceeded,
    Submitted,
    Suspended,
    WaitOpened,
    WaitResolved,
)
from mesh.protocols.job_state import JobState, Recorded
from mesh.protocols.job_step_state import StepState
from mesh.protocols.policies import readable, switch_in

if TYPE_CHECKING:
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.table import Table

SHOWN_BIDS = 4


class Line(NamedTuple):
    """One line of the story; `style` is how a terminal colours it."""

    text: str
    style: str = ""


def narrate(record: Recorded, state: JobState) -> list[Line]:
    """The lines for an entry; `state` is the job's, with the entry in it."""
    return [line for event in record.entry.events for line in _told(event, record, state)]


def _told(event: Event, record: Recorded, state: JobState) -> list[Line]:
    match event:
        case Submitted():
            return [Line(f"job {state.job}: {event.workflow} version {event.version}", "bold")]
        case OwnerClaimed():
            again = f", owner number {record.entry.epoch}" if record.entry.epoch > 1 else ""
            return [Line(f"  {event.process} takes it{again}", "" if not again else "yellow")]
        case OwnerReleased():
            return [Line(f"  handed back: {event.reason}", "yellow")]
        case StepStarted() if event.award is not None:
            return award_lines(event.key, event.award)
        case StepStarted() if event.attempt > 1:
            return [Line(f"  {event.key}: taken up again, attempt {event.attempt}", "yellow")]
        case Awarded():
            return award_lines(event.key, event.award)
        case StepSucceeded() | StepFailed() | StepInDoubt():
            return [_ended(state.steps[event.key])]
        case Progressed():
            return [Line(f"  {event.step + ': ' if event.step else ''}{event.text}", "dim")]
        case ArtifactPut():
            return [Line(f"  artifact {event.artifact.kind}: {event.artifact.id}", "dim")]
        case Completed():
            return [Line(f"job {state.job} is done, {_spent(state)}", "bold green"), *_rests_on(state)]
        case Failed() | Cancelled() | Compensated() | DeadLettered():
            return [Line(f"job {state.job} {state.status}: {event.fault.code}: {event.fault.message}", "bold red")]
    return _paused(event, state.job)


def _paused(event: Event, job: str) -> list[Line]:
    """What is tried again, what is waited for, what somebody said, and what was undone."""
    match event:
        case StepRetried():
            return [_goes_on(event)]
        case WaitOpened():
            if event.kind == "killed":
                return [Line(f"  {event.key}: waits to be allowed: {_to_allow(event.name)}", "yellow")]
            called = f" {event.name!r}" if event.name else ""
            whose = f", {event.child}" if event.child else ""
            return [Line(f"  {event.key}: waits for {_KINDS.get(event.kind, event.kind)}{called}{whose}", "yellow")]
        case WaitResolved():
            return [Line(f"  {event.key}: {event.how}{_said(event.by, event.reason)}", "cyan")]
        case CancelRequested() | PauseRequested():
            what = "a cancel" if isinstance(event, CancelRequested) else "a pause"
            return [Line(f"  {what} is asked for{_said(event.by, event.reason)}", "yellow")]
        case Paused():
            return [Line("  paused", "yellow")]
        case Resumed():
            return [Line(f"  resumed{_said(event.by, event.reason)}", "cyan")]
        case Suspended():
            return [Line("  nothing to do meanwhile", "dim")]
        case CompSucceeded():
            return [Line(f"  ↶ {event.key} is undone{_said(event.by, '')}", "yellow")]
        case CompFailed():
            return [Line(f"  ✗ {event.key} could not be undone: {event.fault.message}", "red")]
        case Parked():
            return [Line(f"job {job} is parked until somebody decides: {event.reason}", "bold red")]
    return []


_KINDS = {
    "timer": "a time",
    "approval": "approval of",
    "signal": "the signal",
    "child": "the job of",
    "resolution": "a decision about",
}


def _to_allow(key: str) -> str:
    """What lifts the switch that stands under that key."""
    switch = switch_in(key, "")
    return f"`mesh allow {switch.what} {shlex.quote(switch.name)}`" if switch else readable(key)


def _said(by: str, reason: str) -> str:
    return f"{' by ' + by if by else ''}{': ' + reason if reason else ''}"


def award_lines(step: str, award: AwardRecord) -> list[Line]:
    """The bids, the cheapest first, and why the winner won."""
    ranked = sorted(award.candidates, key=lambda each: (each.key != award.winner, _total(each)))
    more = len(ranked) - SHOWN_BIDS
    bids = ", ".join(f"{each.agent}.{each.instance} {_score(each)}" for each in ranked[:SHOWN_BIDS])
    again = f" again (award {award.number})" if award.number > 1 else ""
    return [
        Line(f"  {step}: {award.capability}{again}, bids: {bids}{f', and {more} more' if more > 0 else ''}", "dim"),
        Line(f"  {step} → {award.won.agent}.{award.won.instance}: {award.reason}", "cyan"),
    ]


def _ended(step: StepState) -> Line:
    if step.state == "succeeded":
        by = f" by {step.by}" if step.by else ""
        told = f"{step.key}{by}, {step.seconds:.2f} s{_price(step.usage.money)}"
        if step.degraded:
            return Line(
                f"  ~ {told}; {step.source if step.source != 'full' else 'degraded'}: {step.degraded}", "yellow"
            )
        return Line(f"  ✓ {told}", "green")
    fault = step.fault
    why = f"{fault.code}: {fault.message}" if fault else step.state
    return Line(f"  ✗ {step.key}{' is skipped' if step.skipped else ''}: {why}", "red")


def _goes_on(event: StepRetried) -> Line:
    """How a step goes on after an attempt that failed."""
    later = max(0.0, event.until - time.time()) if event.until else 0.0
    onward = {
        "retry": "again at once",
        "back_off": f"again in {later:.0f} s" if later else "again",
        "vary": f"varied: {event.what}",
        "fall_back": f"instead: {event.what}",
    }[event.onward]
    return Line(f"  ↻ {event.key}: {event.fault.code}: {event.fault.message}; {onward}", "yellow")


def _rests_on(state: JobState) -> list[Line]:
    degraded = state.degraded
    return (
        [Line(f"its result rests on less than was asked for: {in_short(degraded)}", "bold yellow")] if degraded else []
    )


def _spent(state: JobState) -> str:
    seconds = max(0.0, state.updated_at - (state.head.submitted_at if state.head else state.updated_at))
    tokens = state.usage.tokens_in + state.usage.tokens_out
    steps = f"{len(state.steps)} step{'' if len(state.steps) == 1 else 's'}"
    return f"{steps} in {seconds:.2f} s{_price(state.usage.money)}{f', {tokens} tokens' if tokens else ''}"


def _price(money: float) -> str:
    return f", {money:.4g} spent" if money else ""


def _total(candidate: Candidate) -> float:
    return candidate.score.total if candidate.score else float("inf")


def _score(candidate: Candidate) -> str:
    if candidate.rejected_because:
        return f"({candidate.rejected_because})"
    return f"{candidate.score.total:.2f}" if candidate.score else "–"


class JobProgress:
    """Shows a job while it runs: `with JobProgress() as progress: await handle.watch(progress.tell)`."""

    def __init__(self, stream: IO[str] | None = None, *, now: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._now = now
        self._live: Live | None = None
        self._began: dict[str, float] = {}
        self._state: JobState | None = None
        self._spinner: Spinner | None = None

    def tell(self, record: Recorded, state: JobState) -> None:
        """Show one more entry."""
        self._state = state
        for key, step in state.steps.items():
            if not step.ended:
                self._began.setdefault(key, self._now())
        for line in narrate(record, state):
            self._say(line)
        if self._live is not None:
            self._live.refresh()

    def __enter__(self) -> JobProgress:
        if self._stream.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._stream, highlight=False)
            self._live = Live(console=console, get_renderable=self._under_way, refresh_per_second=8, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _say(self, line: Line) -> None:
        text = printable(line.text)
        if self._live is None:
            self._stream.write(text + "\n")
            self._stream.flush()
            return
        from rich.text import Text

        self._live.console.print(Text(text, style=line.style))

    def _under_way(self) -> Table:
        """The steps that are not over, with the seconds they have taken."""
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        self._spinner = self._spinner or Spinner("dots")
        steps: Any = self._state.steps.values() if self._state is not None else ()
        for step in steps:
            if not step.ended:
                who = step.awards[-1].won if step.awards else None
                by = f"{who.agent}.{who.instance}" if who else ""
                seconds = f"{self._now() - self._began.get(step.key, self._now()):.1f} s"
                table.add_row(self._spinner, Text(printable(step.key)), Text(printable(by)), Text(seconds))
        return table
