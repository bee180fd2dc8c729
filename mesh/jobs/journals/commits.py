"""`Commits`: how one entry of a job comes to count, or is known not to.

Part of a `Journal`. An entry is stored under compare-and-set on the job's exact subject; when the outcome is unknown, what
counts is what stands in the stream after the previous sequence, never the server's duplicate window.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from mesh.jobs.journals.journals import Journals
from mesh.protocols.errors import Conflict, JournalCorrupt, LeaseLost, NoResponders, TimedOut, Unavailable
from mesh.protocols.job_events import Entry, Event, encode_entry
from mesh.protocols.job_head import advance
from mesh.protocols.job_state import JobState, Recorded
from mesh.protocols.ports import Clock, Ids

PATIENCE = 60.0
"""Seconds for which an append is tried before the owner gives the job up."""
APPEND_TIMEOUT = 2.0
LONGEST_PAUSE = 0.2
"""Seconds between two tries: a job stands still no longer than that once the server is back."""

logger = logging.getLogger("mesh.jobs")

_UNKNOWN = (Conflict, TimedOut, Unavailable, NoResponders)


class Commits:
    """Made from the state that was read, which every entry that counts is folded into, others' among them. `owner` is this
    process's token, `job_time` dates the entries."""

    def __init__(
        self,
        journals: Journals,
        clock: Clock,
        ids: Ids,
        state: JobState,
        *,
        tenant: str,
        owner: str,
        job_time: Callable[[], float],
    ) -> None:
        self.epoch = state.epoch
        self._journals = journals
        self._clock = clock
        self._ids = ids
        self._state = state
        self._tenant = tenant
        self._owner = owner
        self._job_time = job_time
        self._subject = journals.subjects.job(tenant, state.job)

    async def commit(self, events: tuple[Event, ...]) -> None:
        """Store one entry under the present epoch, and fold it.

        Raises:
            LeaseLost: it can never count: somebody else owns the job, or the stream took nothing for `PATIENCE` seconds.
            TooLarge: it is more than one message can hold. JournalCorrupt: the events cannot follow what stands there.
        """
        give_up = self._clock.monotonic() + PATIENCE
        while True:
            entry = self._entry(events)
            if await self._store(entry, give_up):
                return

    def _entry(self, events: tuple[Event, ...]) -> Entry:
        try:
            head = advance(self._state.head, self._tenant, events)
        except KeyError as error:
            raise JournalCorrupt(f"job {self._state.job} is {self._state.status}: {error} cannot follow") from None
        entry = Entry(
            id=self._ids.uuid(),
            job=self._state.job,
            tenant=self._tenant,
            head=head,
            events=events,
            epoch=self.epoch,
            owner=self._owner,
            previous=self._state.sequence,
            at=self._job_time(),
        )
        objection = self._state.objection(entry)
        if objection:
            raise JournalCorrupt(f"an entry for job {self._state.job} would be void: {objection}")
        return entry

    async def _store(self, entry: Entry, give_up: float) -> bool:
        """Whether the entry counts now; False: the stream went on without it, write another one.

        Raises:
            LeaseLost: it can never count.
        """
        data, pause = encode_entry(entry), 0.01
        while True:
            counts = await self._try(entry, data)
            if counts is not None:
                return counts
            if self._clock.monotonic() >= give_up:
                raise LeaseLost(f"job {entry.job}: the journal took nothing for {PATIENCE:g} s")
            await self._clock.sleep(pause * (0.5 + self._ids.random.random()))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _try(self, entry: Entry, data: bytes) -> bool | None:
        """One attempt: True, it counts; False, something else stands there; None, nothing is known, or nothing is there."""
        try:
            ack = await self._journals.store.append(
                self._subject, data, message_id=entry.id, expected=entry.previous, timeout=APPEND_TIMEOUT
            )
            if not ack.duplicate:
                self._state.accept(Recorded(entry, ack.sequence, entry.at))
                return True
        except _UNKNOWN as error:
            logger.debug("append to job %s: %s", entry.job, error)
        try:
            return await self._read_back(entry)
        except _UNKNOWN:
            return None

    async def _read_back(self, entry: Entry) -> bool | None:
        claiming = entry.epoch > self._state.epoch
        found = await self._journals.read(self._tenant, entry.job, after=self._state.sequence)
        for record in found:
            counts = self._state.apply(record)
            if record.entry.id == entry.id and counts:
                return True
            driven = self._state.epoch >= entry.epoch or self._state.terminal
            if counts and (driven or (claiming and self._state.status == "running")):
                raise LeaseLost(who_has(self._state))
        return False if found else None

    async def read_claim(self) -> float:
        """The server's timestamp of the claim that was committed last; a read that lags behind is repeated.

        Raises:
            LeaseLost: an entry of somebody else's stands behind it, or it could not be read for `PATIENCE` seconds.
        """
        at, give_up = self._state.sequence, self._clock.monotonic() + PATIENCE
        while self._clock.monotonic() < give_up:
            try:
                last = await self._journals.last(self._tenant, self._state.job)
                if last is not None and last.sequence == at:
                    return last.time
                found = await self._journals.read(self._tenant, self._state.job, after=at - 1)
            except _UNKNOWN:
                found = []
            for record in found[1:]:
                if record.sequence > self._state.sequence and self._state.apply(record):
                    raise LeaseLost(who_has(self._state))
            if found and found[0].sequence == at:
                return found[0].time
            await self._clock.sleep(0.02)
        raise LeaseLost(f"the claim of job {self._state.job} could not be read back for {PATIENCE:g} s")


def who_has(state: JobState) -> str:
    """Whose the job is, in words."""
    owner = state.head.owner if state.head else ""
    return f"job {state.job} is {state.status}, owner {owner}, epoch {state.epoch}"
