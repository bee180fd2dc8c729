"""Snapshots: a long journal need not be read from its first entry.

The owner writes one down every so many events: its state, as JSON, alone in an entry; above 64 KiB as an object. A reader
begins with the last one, if that fits where it stands; where anything is wrong with it, everything before it still says
the same, and is read instead.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from mesh.jobs.journals.values import Values
from mesh.protocols.errors import MeshError
from mesh.protocols.job_events import Entry, Snapshot, Value
from mesh.protocols.job_history_events import SNAPSHOT_FORMAT
from mesh.protocols.job_state import JobState, Recorded, seal, unseal
from mesh.protocols.ports import Clock, Store
from mesh.protocols.subjects import Subjects
from mesh.resilience.deadline import Deadline

EVERY = 500
"""Events between two snapshots of a short journal: read in about 20 ms."""
SHARE = 16
"""Of a longer one, the share of its events: what all its snapshots take together stays in proportion to its length."""
KEEP_WITHIN = 5.0
"""Seconds that the object store may take: the job waits meanwhile."""

logger = logging.getLogger("mesh.jobs")


class Snapshots:
    """Those that an owner takes of its job."""

    def __init__(self, values: Values, clock: Clock, *, every: int = EVERY) -> None:
        self._values = values
        self._clock = clock
        self._every = every
        self._not_before = 0

    async def due(self, state: JobState) -> Snapshot | None:
        """The snapshot to append now, before anything else is; mostly none. One that cannot be kept is tried again later."""
        enough = state.fresh >= max(self._every, state.events // SHARE) and state.events >= self._not_before
        if not enough or state.status != "running":
            return None
        try:
            async with Deadline.after(self._clock, KEEP_WITHIN).enforce("keeping a snapshot"):
                return Snapshot(state=await self._values.keep(seal(state), "snapshot"), format=SNAPSHOT_FORMAT)
        except MeshError as error:
            self._not_before = state.events + self._every
            logger.warning("job %s goes on without a snapshot: %s", state.job, error)
            return None


def snapshot_at(last: Recorded) -> int:
    """The sequence of the entry to begin with, by what a journal's last entry says; 0 for the first."""
    return last.sequence if isinstance(last.entry.events[-1], Snapshot) else last.entry.head.snapshot


class SnapshotReader:
    """What readers of journals need of the object store."""

    def __init__(self, store: Store, subjects: Subjects) -> None:
        self._store = store
        self._name = subjects.bucket("objects")

    async def resumed(self, records: list[Recorded]) -> JobState | None:
        """The state that the journal amounts to, of which `records` are the entries from the snapshot on; None when they do
        not fit, and the whole has to be read."""
        if not records or not _is_snapshot(records[0].entry):
            return None
        first, *rest = records
        snapshot: Any = first.entry.events[0]
        try:
            state = unseal(await self._fetched(snapshot.state))
        except (MeshError, KeyError) as error:
            logger.warning("job %s: its snapshot at %d is of no use: %s", first.entry.job, first.sequence, error)
            return None
        if (state.job, state.sequence) != (first.entry.job, first.entry.previous) or not state.apply(first):
            logger.warning("job %s: its snapshot at %d does not fit there", first.entry.job, first.sequence)
            return None
        for each in rest:
            state.apply(each)
        return state

    async def whole(self, record: Recorded) -> Recorded:
        """The entry; if it is a fork's first, with what it begins with in it, however large.

        Raises:
            KeyError: that is not in the object store. Unavailable · TimedOut.
        """
        entry = record.entry
        last = entry.events[-1]
        if entry.previous or not isinstance(last, Snapshot) or last.state.ref is None:
            return record
        state = Value(inline=await self._fetched(last.state))
        events = (*entry.events[:-1], msgspec.structs.replace(last, state=state))
        return record._replace(entry=msgspec.structs.replace(entry, events=events))

    async def _fetched(self, value: Value) -> msgspec.Raw:
        if value.ref is None:
            return value.inline
        objects = await self._store.objects(self._name)
        return msgspec.Raw(await objects.get(value.ref.digest))


def _is_snapshot(entry: Entry) -> bool:
    events = entry.events
    return len(events) == 1 and isinstance(events[0], Snapshot) and events[0].format <= SNAPSHOT_FORMAT
