"""Forking: a new job that has done already what another one had done before one of its steps, and goes on from there.

What came before is given as it was; the step and whatever follows is done anew, with another input or another agent where
that is wanted. What touches the world outside is not done a second time unless that is allowed: steps that may be done at most
once, or only under their key, give what they gave. The original is only read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.values import Values
from mesh.jobs.outside.following import Client
from mesh.jobs.owning.backlog import Candidate
from mesh.jobs.replay.course import asked_for
from mesh.jobs.steps.effects import TOUCHING
from mesh.protocols.constraints import Usage
from mesh.protocols.errors import BadPayload, Conflict, JournalCorrupt, KeyReused
from mesh.protocols.job_events import Entry, Event, Forked, Snapshot, Submitted, encode_entry
from mesh.protocols.job_head import advance
from mesh.protocols.job_history_events import SNAPSHOT_FORMAT
from mesh.protocols.job_state import JobState, Recorded, fold, seal
from mesh.protocols.job_step_state import StepState
from mesh.protocols.job_wait_state import WaitState
from mesh.protocols.submission import digest_of, job_id_for_key


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different. `input` replaces the original's; `instead` says which capability is called in place of another;
    `changes` says both in words; `key` names the fork: the same key is the same job."""

    at: str
    input: Any = msgspec.UNSET
    instead: dict[str, str] = {}
    effects: bool = False
    changes: tuple[str, ...] = ()
    key: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a fork comes to. `kept` gives what it gave before; so does `stubbed`, because it touches the world outside; `redone`
    is what the original had done from there on."""

    job: str
    original: str
    at: str
    sequence: int
    changes: tuple[str, ...]
    kept: tuple[str, ...]
    stubbed: tuple[str, ...]
    redone: tuple[str, ...]
    duplicate: bool = False


class Forking:
    """One fork of the job whose entries are `records`, from the first one on.

    Raises:
        BadPayload: it never came to the step.
    """

    def __init__(self, records: Sequence[Recorded], fork: Fork) -> None:
        self._fork = fork
        self._whole = fold(records)
        self._before, self._sequence = _before(records, fork.at)
        if self._whole.head is None or self._whole.submitted is None:
            raise JournalCorrupt(
                "a job of which only the tombstone is left cannot be forked: restore its archive first"
            )
        self.tenant = self._whole.head.tenant
        self.key = fork.key or _key(self._whole.job, fork)
        self._kept = {key: each for key, each in self._before.steps.items() if self._counts(self._before, each)}
        self._stubbed = {
            key: each
            for key, each in self._whole.steps.items()
            if key not in self._kept
            and not fork.effects
            and each.effect in TOUCHING
            and self._counts(self._whole, each)
        }

    @property
    def job(self) -> str:
        """The fork's id."""
        return job_id_for_key(self.tenant, self.key)

    def plan(self, *, duplicate: bool = False) -> Plan:
        """What it comes to."""
        done = [key for key in self._whole.steps if asked_for(self._whole, key)]
        return Plan(
            job=self.job,
            original=self._whole.job,
            at=self._fork.at,
            sequence=self._sequence,
            changes=self._fork.changes,
            kept=(*self._kept, *self._waits()),
            stubbed=tuple(self._stubbed),
            redone=tuple(key for key in done if key not in self._kept and key not in self._stubbed),
            duplicate=duplicate,
        )

    async def begin(self, client: Client) -> Plan:
        """Journal the new job, and tell whoever may drive it. Again: nothing happens.

        Raises:
            KeyReused: the key names another job. Unavailable · TimedOut: it is not known; do it again.
        """
        values = Values(client.store, client.subjects, client.clock)
        journals = Journals(client.store, client.subjects)
        events = await self._events(values)
        head = advance(None, self.tenant, events)
        entry = Entry(id=client.ids.uuid(), job=self.job, tenant=self.tenant, head=head, events=events)
        subject = client.subjects.job(self.tenant, self.job)
        try:
            await client.store.append(subject, encode_entry(entry), message_id=entry.id, expected=0)
        except Conflict:
            await self._must_be_it(journals)
            return self.plan(duplicate=True)
        candidate = Candidate(
            job=self.job, tenant=self.tenant, workflow=head.workflow, version=head.version, priority=head.priority
        )
        client.bus.publish(client.subjects.hint(self.tenant, head.priority), msgspec.json.encode(candidate))
        return self.plan()

    async def _events(self, values: Values) -> tuple[Event, ...]:
        forked = Forked(
            job=self._whole.job,
            sequence=self._sequence,
            at=self._fork.at,
            changes=self._fork.changes,
            instead=self._fork.instead,
            effects=self._fork.effects,
        )
        begins_with = await values.keep(seal(self._state()), "snapshot")
        return (await self._submitted(values), forked, Snapshot(state=begins_with, format=SNAPSHOT_FORMAT))

    async def _submitted(self, values: Values) -> Submitted:
        submitted = self._whole.submitted
        assert submitted is not None
        changed: dict[str, Any] = {}
        if self._fork.input is not msgspec.UNSET:
            raw = msgspec.Raw(msgspec.json.encode(self._fork.input))
            changed = {"input": await values.keep(raw, "input"), "digest": digest_of(raw)}
        return msgspec.structs.replace(
            submitted, key=self.key, source="request", received_at=0.0, parent=None, correlation=self.job,
            causation=self._whole.job, **changed,
        )  # fmt: skip

    def _state(self) -> JobState:
        """What the fork begins with. Artifacts and progress are told again: they cost nothing, and have ids of their own."""
        taken = {key: _taken_over(each) for key, each in {**self._kept, **self._stubbed}.items()}
        return JobState(
            steps=taken,
            waits=self._waits(),
            signals=self._before.signals,
            inbox=self._before.inbox,
            patches=self._before.patches,
            flags=self._before.flags,
            usage=sum((each.usage for each in taken.values()), Usage()),
        )

    def _waits(self) -> dict[str, WaitState]:
        return {
            key: each
            for key, each in self._before.waits.items()
            if each.answer is not None
            and each.answer.how != "dropped"
            and each.opened.kind not in ("resolution", "killed")
            and asked_for(self._before, key)
        }

    def _counts(self, state: JobState, step: StepState) -> bool:
        return step.state in ("succeeded", "failed") and asked_for(state, step.key)

    async def _must_be_it(self, journals: Journals) -> None:
        there = await journals.state(self.tenant, self.job)
        if there.forked is None or (there.forked.job, there.forked.at) != (self._whole.job, self._fork.at):
            raise KeyReused(
                f"the key {self.key!r} names job {self.job}, which is another one", detail={"job": self.job}
            )


def changed_input(value: Any, settings: Mapping[str, Any]) -> Any:
    """The input with fields set by dotted path: `order.amount` is the field `amount` of the field `order`, `items.0` the first
    of a list.

    Raises:
        BadPayload: there is no such place.
    """
    whole = {"": msgspec.json.decode(msgspec.json.encode(value))}
    for path, new in settings.items():
        _set(whole, path, new)
    return whole[""]


def _set(whole: dict[str, Any], path: str, new: Any) -> None:
    place: Any = whole
    names = ["", *path.split(".")]
    for name, following in pairwise(names):
        place = place[int(name)] if isinstance(place, list) else place[name]
        if not _has(place, following) and not (isinstance(place, dict) and following == names[-1]):
            raise BadPayload(f"the input has no place {path!r}: there is no {following!r}")
    place[int(names[-1]) if isinstance(place, list) else names[-1]] = new


def _has(place: Any, name: str) -> bool:
    if isinstance(place, list):
        return name.isdigit() and int(name) < len(place)
    return isinstance(place, dict) and name in place


def _before(records: Sequence[Recorded], at: str) -> tuple[JobState, int]:
    """The job as it was before its first word about `at`, and the sequence of the last entry that counts for that."""
    state = JobState()
    for each in records:
        place = next((n for n, event in enumerate(each.entry.events) if getattr(event, "key", "") == at), None)
        if place is None or state.objection(each.entry):
            state.apply(each)
            continue
        sequence = state.sequence
        if place:
            events = each.entry.events[:place]
            state.apply(each._replace(entry=msgspec.structs.replace(each.entry, events=events)))
        return state, sequence
    there = [key for key in {**state.steps, **state.waits} if asked_for(state, key)]
    raise BadPayload(f"the job never came to {at!r}; it came to {', '.join(there) or 'no step'}")


def _taken_over(step: StepState) -> StepState:
    """As an outcome that is given whatever is asked: what the fork's ids and input make of a step's input says nothing about
    it. Epoch 0: no owner of this job did it, and none undoes it."""
    return replace(step, digest="", input=None, epoch=0, undoing=None, undo_attempt=0, undo_fault=None)


def _key(job: str, fork: Fork) -> str:
    said = msgspec.json.encode((job, fork.at, fork.changes, fork.instead, fork.effects))
    return f"fork:{digest_of(said)[7:31]}"


__all__ = ["Fork", "Forking", "Plan", "changed_input"]
