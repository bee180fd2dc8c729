"""`Journal`: the one writer of one job, in its owner, under one epoch.

Everything the job does goes through here before it is done. Events that are handed in during the same turn of the loop
share an entry. An entry is stored under compare-and-set on the job's exact subject; when the outcome is unknown, what
counts is what stands in the stream after the previous sequence, never the server's duplicate window.

Once somebody else owns the job, or the stream could not be reached for too long, the journal is lost for good: every later
call raises `LeaseLost` again, whatever became of the first one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.snapshots import Snapshots
from mesh.protocols.errors import (
    Conflict,
    JournalCorrupt,
    LeaseLost,
    MeshError,
    NoResponders,
    TimedOut,
    TooLarge,
    Unavailable,
)
from mesh.protocols.job_events import Entry, Event, OwnerClaimed, OwnerReleased, encode_entry
from mesh.protocols.job_state import JobState, Recorded, advance
from mesh.protocols.ports import Clock, Ids

PATIENCE = 60.0
"""Seconds for which an append is tried before the owner gives the job up."""
APPEND_TIMEOUT = 2.0
LONGEST_PAUSE = 0.2
"""Seconds between two tries: a job stands still no longer than that once the server is back."""
LARGEST_ENTRY = 512 * 1024
NOTE_DELAY = 0.2

logger = logging.getLogger("mesh.jobs")

_UNKNOWN = (Conflict, TimedOut, Unavailable, NoResponders)


@dataclass(slots=True)
class _Waiting:
    """Events that belong together, and who waits for them to be stored (nobody for notes)."""

    events: tuple[Event, ...]
    stored: asyncio.Future[None] | None


class Journal:
    """Made from the state that was read; `claim` makes this process the owner, or `adopt` where it claimed the job as it came
    in. `owner` is its process token."""

    def __init__(
        self,
        journals: Journals,
        clock: Clock,
        ids: Ids,
        state: JobState,
        *,
        tenant: str,
        owner: str,
        incarnation: str = "",
        snapshots: Snapshots | None = None,
    ) -> None:
        self.state = state
        self.tenant = tenant
        self.epoch = state.epoch
        self.lost: MeshError | None = None
        self._frozen: MeshError | None = None
        self._leaving = False
        self._journals = journals
        self._clock = clock
        self._ids = ids
        self._owner = owner
        self._incarnation = incarnation
        self._snapshots = snapshots
        self._subject = journals.subjects.job(tenant, state.job)
        self._anchor = (0.0, 0.0)
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._note_timer: asyncio.TimerHandle | None = None
        self._on_lost: list[Callable[[MeshError], None]] = []

    # -- who owns it

    async def claim(self, *events: Event) -> None:
        """Become the owner under the next epoch, read back through the claim, and set the job's clock by the server's.

        `events` follow the claim in the same entry.

        Raises:
            LeaseLost: somebody else was first.
        """
        self.epoch = self.state.epoch + 1
        claimed = OwnerClaimed(process=self._owner, incarnation=self._incarnation)
        try:
            await self._commit((claimed, *events))
            at = await self._read_claim()
            self._anchor = (at, self._clock.monotonic())
            self.state.date_claim(at)
        except MeshError as error:
            self._lose(error)
            raise self._as_lost(error) from None

    def adopt(self) -> None:
        """Be the owner under the claim that the job was journaled with, as it was read: the server's timestamp of that sets the
        job's clock.

        Raises:
            LeaseLost: it is not ours, or not any more.
        """
        head, ours = self.state.head, (self._owner, self._incarnation)
        if head is None or head.state != "running" or (head.owner, head.incarnation) != ours:
            self.abandon(self._who_has_it())
        self._anchor = (self.state.claims[-1].at, self._clock.monotonic())

    async def release(self, reason: str) -> None:
        """Hand the job back: what was handed in before is stored first, and nothing can be added afterwards."""
        self.freeze(f"the job was handed back: {reason}")
        await self.let_go(OwnerReleased(reason=reason))

    def freeze(self, reason: str) -> None:
        """Take nothing more from the workflow: the job is about to be let go of, and what its code still does on the way out
        must leave no trace."""
        self._frozen = LeaseLost(reason)

    async def drained(self) -> None:
        """Wait until what was handed in before is stored, or is lost with the job."""
        while self._writer is not None:
            await asyncio.wait({self._writer})

    async def let_go(self, event: Event) -> None:
        """Store the last event under this owner, after what was handed in before; nothing can be added afterwards.

        Raises:
            LeaseLost: somebody else owns the job by now, or the stream was out of reach.
        """
        if self.lost is not None:
            raise LeaseLost(self.lost.message)
        await self._store_events((event,))
        self._lose(self._frozen or LeaseLost("the job was let go of"))

    @property
    def leaving(self) -> bool:
        """Whether somebody else will go on with the job: what is cancelled now must not be cancelled at the agents."""
        return self._leaving or self.lost is not None

    def leave(self) -> None:
        """The owner is about to stop without having finished."""
        self._leaving = True

    def abandon(self, reason: str) -> None:
        """Give the job up without a word in the journal: it cannot be reached, or must not be. Somebody will claim it.

        Raises:
            LeaseLost: always.
        """
        self._lose(LeaseLost(reason))
        self.check()

    def job_time(self) -> float:
        """Unix seconds by the server's clock: its timestamp of the claim, plus what has passed here since."""
        server, here = self._anchor
        return server + self._clock.monotonic() - here if server else 0.0

    def on_lost(self, callback: Callable[[MeshError], None]) -> None:
        """Call this once the job is somebody else's (at once, if it is already)."""
        if self.lost is not None:
            callback(self.lost)
        else:
            self._on_lost.append(callback)

    def check(self) -> None:
        """Go on only as the owner.

        Raises:
            LeaseLost: this process is not the owner any more.
        """
        gone = self.lost or self._frozen
        if gone is not None:
            raise LeaseLost(gone.message)

    # -- what happens

    async def append(self, *events: Event) -> None:
        """Store the events, in this order and in one entry. When this returns they count.

        Raises:
            LeaseLost: somebody else owns the job by now, or the stream was out of reach for `PATIENCE` seconds.
            TooLarge: more than one message can hold; nothing was stored.
        """
        self.check()
        await self._store_events(events)

    async def _store_events(self, events: tuple[Event, ...]) -> None:
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stored.add_done_callback(_seen)
        self._waiting.append(_Waiting(events, stored))
        self._wake()
        await stored  # whoever is cancelled here leaves the writer alone

    def note(self, event: Event) -> None:
        """Store the event with the next entry, or in a moment. Nobody waits for it; it is lost with the owner."""
        if self.lost is not None or self._frozen is not None or self.state.terminal:
            return
        self._waiting.append(_Waiting((event,), None))
        if self._writer is None and self._note_timer is None:
            self._note_timer = asyncio.get_running_loop().call_later(NOTE_DELAY, self._wake)

    async def flush(self) -> None:
        """Wait until everything handed in is stored."""
        while self._waiting or self._writer is not None:
            self._wake()
            if self._writer is not None:
                await asyncio.wait({self._writer})
            self.check()

    # -- the writer

    def _wake(self) -> None:
        if self._note_timer is not None:
            self._note_timer.cancel()
            self._note_timer = None
        if self._writer is None and self._waiting:
            self._writer = asyncio.get_running_loop().create_task(self._write(), name=f"journal {self.state.job}")

    async def _write(self) -> None:
        batch: list[_Waiting] = []
        try:
            while self._waiting and not self.state.terminal:
                batch = self._next_batch()
                await self._write_batch(batch)
                await self._take_snapshot()
        except MeshError as error:
            self._lose(error)
        except Exception as error:
            logger.exception("the journal of job %s cannot go on", self.state.job)
            self._lose(JournalCorrupt(f"{type(error).__name__}: {error}"))
        finally:
            self._writer = None
            if self.lost is not None or self.state.terminal:
                left, self._waiting = batch + self._waiting, []
                _settle(left, self.lost or LeaseLost(f"job {self.state.job} is {self.state.status}"))

    async def _take_snapshot(self) -> None:
        snapshot = await self._snapshots.due(self.state) if self._snapshots is not None else None
        if snapshot is not None:
            await self._commit((snapshot,))

    async def _write_batch(self, batch: list[_Waiting]) -> None:
        """One entry for all; where that is too large for a message, one each, and only what is too large fails."""
        try:
            await self._commit(tuple(event for each in batch for event in each.events))
            _settle(batch, None)
        except TooLarge as error:
            if len(batch) == 1:
                return _settle(batch, error)
            for each in batch:
                await self._write_batch([each])

    def _next_batch(self) -> list[_Waiting]:
        if len(self._waiting) == 1:
            return [self._waiting.pop()]
        size = 0
        batch: list[_Waiting] = []
        while self._waiting:
            size += len(msgspec.json.encode(self._waiting[0].events))
            if batch and size > LARGEST_ENTRY:
                break
            batch.append(self._waiting.pop(0))
        return batch

    async def _commit(self, events: tuple[Event, ...]) -> None:
        """Store one entry and fold it."""
        give_up = self._clock.monotonic() + PATIENCE
        while True:
            entry = self._entry(events)
            if await self._store(entry, give_up):
                return

    def _entry(self, events: tuple[Event, ...]) -> Entry:
        try:
            head = advance(self.state.head, self.tenant, events)
        except KeyError as error:
            raise JournalCorrupt(f"job {self.state.job} is {self.state.status}: {error} cannot follow") from None
        entry = Entry(
            id=self._ids.uuid(),
            job=self.state.job,
            tenant=self.tenant,
            head=head,
            events=events,
            epoch=self.epoch,
            owner=self._owner,
            previous=self.state.sequence,
            at=self.job_time(),
        )
        objection = self.state.objection(entry)
        if objection:
            raise JournalCorrupt(f"an entry for job {self.state.job} would be void: {objection}")
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
                self.state.accept(Recorded(entry, ack.sequence, entry.at))
                return True
        except _UNKNOWN as error:
            logger.debug("append to job %s: %s", entry.job, error)
        try:
            return await self._read_back(entry)
        except _UNKNOWN:
            return None

    async def _read_back(self, entry: Entry) -> bool | None:
        claiming = entry.epoch > self.state.epoch
        found = await self._journals.read(self.tenant, entry.job, after=self.state.sequence)
        for record in found:
            counts = self.state.apply(record)
            if record.entry.id == entry.id and counts:
                return True
            driven = self.state.epoch >= entry.epoch or self.state.terminal
            if counts and (driven or (claiming and self.state.status == "running")):
                raise LeaseLost(self._who_has_it())
        return False if found else None

    async def _read_claim(self) -> float:
        """The server's timestamp of the claim; a read that lags behind is repeated."""
        at, give_up = self.state.sequence, self._clock.monotonic() + PATIENCE
        while self._clock.monotonic() < give_up:
            try:
                last = await self._journals.last(self.tenant, self.state.job)
                if last is not None and last.sequence == at:
                    return last.time
                found = await self._journals.read(self.tenant, self.state.job, after=at - 1)
            except _UNKNOWN:
                found = []
            for record in found[1:]:
                if record.sequence > self.state.sequence and self.state.apply(record):
                    raise LeaseLost(self._who_has_it())
            if found and found[0].sequence == at:
                return found[0].time
            await self._clock.sleep(0.02)
        raise LeaseLost(f"the claim of job {self.state.job} could not be read back for {PATIENCE:g} s")

    def _who_has_it(self) -> str:
        head = self.state.head
        return (
            f"job {self.state.job} is {self.state.status}, owner {head.owner if head else ''}, epoch {self.state.epoch}"
        )

    def _lose(self, error: MeshError) -> None:
        if self.lost is None:
            self.lost = self._as_lost(error)
            for callback in self._on_lost:
                callback(self.lost)

    def _as_lost(self, error: MeshError) -> MeshError:
        return error if isinstance(error, LeaseLost) else LeaseLost(f"the journal cannot go on: {error}")


def _seen(stored: asyncio.Future[None]) -> None:
    """Whoever was cancelled does not ask any more; asyncio shall not complain."""
    if not stored.cancelled():
        stored.exception()


def _settle(batch: list[_Waiting], error: MeshError | None) -> None:
    for each in batch:
        if each.stored is None or each.stored.done():
            continue
        if error is None:
            each.stored.set_result(None)
        else:
            each.stored.set_exception(error)
