"""The checker: what must be true after every scenario, whatever was done to whom.

Most of it looks at the stored entries itself and does not trust the fold; where the fold is asked, it is held against that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mesh.protocols.job_events import Archived, OwnerClaimed, StepFailed, StepSucceeded, Submitted
from mesh.protocols.job_rules import TERMINAL
from mesh.protocols.job_state import JobState, Recorded, fold
from tests.chaos.evidence import Evidence
from tests.chaos.fleet import Fleet

OUTCOMES = (StepSucceeded, StepFailed)


@dataclass(frozen=True)
class Verdict:
    """What the checker saw, for the table; it raised if anything was wrong."""

    jobs: int
    entries: int
    acknowledged: int
    effects: int
    claims: int
    void: int
    states: Counter[str]

    def __str__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        return f"{states}; {self.claims} claims, {self.entries} entries ({self.void} void), {self.effects} effects"


def check(
    fleet: Fleet, evidence: Evidence, *, states: Iterable[str] = ("completed",), open_allowed: bool = False
) -> Verdict:
    """Everything that must hold. `states` are those that jobs may have ended in; `open_allowed`: some may go on.

    Raises:
        AssertionError: with every job and entry that is wrong.
    """
    folded = {job: fold(records) for job, records in evidence.journals.items()}
    acknowledged = list(acked(fleet.folder))
    allowed = set(states)
    wrong = [
        *_lost(acknowledged, evidence),
        *_unaccounted(fleet, folded, allowed, open_allowed),
        *_done_twice(fleet),
        *(f"job {job}: {each}" for job, records in evidence.journals.items() for each in objections(records)),
    ]
    assert not wrong, "\n".join(wrong[:40])
    return Verdict(
        jobs=len(folded),
        entries=sum(len(records) for records in evidence.journals.values()),
        acknowledged=len(acknowledged),
        effects=len(fleet.ledger.effects()) + len(fleet.blind.effects()),
        claims=sum(len(state.claims) for state in folded.values()),
        void=sum(len(state.void) for state in folded.values()),
        states=Counter(state.status for state in folded.values()),
    )


def acked(folder: Path) -> Iterator[tuple[str, int, str, str]]:
    """Every append that any process saw acknowledged: stream, sequence, message id, subject."""
    for file in folder.glob("*.acked"):
        for line in file.read_text().splitlines():
            stream, sequence, message_id, subject = line.split(" ")
            yield stream, int(sequence), message_id, subject


# -- nothing acknowledged is lost; timers are gone from their stream once they were due


def _lost(acknowledged: Iterable[tuple[str, int, str, str]], evidence: Evidence) -> Iterator[str]:
    journaled = {(job, record.entry.id) for job, records in evidence.journals.items() for record in records}
    for stream, sequence, message_id, subject in acknowledged:
        where = f"{message_id} on {subject}, {stream} {sequence}"
        kept = stream in evidence.sequences and not stream.endswith("_TIM")
        if kept and sequence not in evidence.sequences[stream]:
            yield f"acknowledged and not stored: {where}"
        if "_JOB" in stream and (subject.rpartition(".")[2], message_id) not in journaled:
            yield f"acknowledged, and something else stands there: {where}"


def _unaccounted(fleet: Fleet, folded: dict[str, JobState], states: set[str], open_allowed: bool) -> Iterator[str]:
    for handed in fleet.handed:
        state = folded.get(handed.job)
        if state is None:
            yield f"job {handed.job} was acknowledged and has no journal"
        elif not state.terminal:
            if not open_allowed:
                yield f"job {handed.job} is {state.status} after {len(state.claims)} owners"
        elif state.status not in states:
            yield f"job {handed.job} is {state.status}: {state.fault}"
        elif state.status == "completed" and state.output is not None and state.output.ref is None:
            found = msgspec.json.decode(state.output.inline)
            if found != handed.result:
                yield f"job {handed.job} gave {found}, not {handed.result}"


# -- effects


def _done_twice(fleet: Fleet) -> Iterator[str]:
    for target in (fleet.ledger, fleet.blind):
        for key, count in target.counts().items():
            if count > 1:
                yield f"the effect {key} was done {count} times at {target.path.name}"


# -- one journal


def objections(records: list[Recorded]) -> Iterator[str]:
    """What is wrong with one journal: its chain, its epochs, its end, its outcomes; and the fold, if it sees it otherwise."""
    state = JobState()
    owners: dict[int, str] = {}
    outcomes: Counter[str] = Counter()
    for record in records:
        entry, epoch, over, before = record.entry, state.epoch, state.terminal, state.sequence
        counts = state.apply(record)
        where = f"entry {record.sequence} by {entry.owner or 'nobody'} in epoch {entry.epoch}"
        claims = [event for event in entry.events if isinstance(event, OwnerClaimed)]
        if not counts:
            fenced = entry.owner in {owners[each] for each in owners if each < epoch} or (over and not entry.owner)
            if claims or not fenced:
                yield f"{where} is void, and its author had not been fenced: {state.void[-1].reason}"
            continue
        if over and not isinstance(entry.events[0], Archived):
            yield f"{where} was taken after the end"
        if entry.previous != before:
            yield f"{where} was taken after {before}, and follows {entry.previous}"
        if entry.epoch != epoch + len(claims):
            yield f"{where} was taken in epoch {epoch}"
        if entry.owner and owners.setdefault(entry.epoch, entry.owner) != entry.owner:
            yield f"{where}, which is {owners[entry.epoch]}'s"
        outcomes.update(event.key for event in entry.events if isinstance(event, OUTCOMES))
    yield from (f"step {key} ended {count} times" for key, count in outcomes.items() if count > 1)
    yield from _wrongly_ended(records)


def _wrongly_ended(records: list[Recorded]) -> Iterator[str]:
    if not any(isinstance(event, Submitted) for event in records[0].entry.events):
        yield "it does not begin with its submission"
    ends = [each for each in records if each.entry.head.state in TERMINAL]
    if len(ends) > 1:
        kinds = {each.entry.head.state for each in ends}
        if len(kinds) > 1:
            yield f"it ended as {' and as '.join(sorted(kinds))}"
