"""`Writer`: what is handed in during the same turn of the loop leaves in one entry, one entry after the other.

Part of a `Journal`. One task writes while something waits; where it cannot go on the ownership is lost, and with it
whatever waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from mesh.jobs.journals.commits import Commits
from mesh.jobs.journals.ownership import Ownership
from mesh.jobs.journals.snapshots import Snapshots
from mesh.protocols.errors import JournalCorrupt, LeaseLost, MeshError, TooLarge
from mesh.protocols.job_events import Event
from mesh.protocols.job_state import JobState

LARGEST_ENTRY = 512 * 1024
"""Bytes of events that share an entry."""
NOTE_DELAY = 0.2
"""Seconds that a note waits for an entry to go along with."""

logger = logging.getLogger("mesh.jobs")

Decide = Callable[[], tuple[Event, ...]]
"""Gives the events that are to be stored, in the light of everything before; perhaps none."""


@dataclass(slots=True)
class _Waiting:
    """Events that belong together, or what decides of them when it is their turn, and who waits for them to be stored (nobody for
    notes)."""

    events: tuple[Event, ...]
    stored: asyncio.Future[None] | None
    decide: Decide | None = None


class Writer:
    """Writes to one job, for as long as the `ownership` lasts and the job does."""

    def __init__(self, commits: Commits, state: JobState, ownership: Ownership, snapshots: Snapshots | None) -> None:
        self._commits = commits
        self._state = state
        self._ownership = ownership
        self._snapshots = snapshots
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self._note_timer: asyncio.TimerHandle | None = None

    async def store(self, events: tuple[Event, ...], decide: Decide | None = None) -> None:
        """Store the events, in this order and in one entry, behind whatever was handed in before; or those that `decide` gives
        once all of that is folded.

        Raises:
            LeaseLost: the ownership is lost. TooLarge: more than one message can hold; nothing was stored.
        """
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stored.add_done_callback(_seen)
        self._waiting.append(_Waiting(events, stored, decide))
        self._wake()
        await stored  # whoever is cancelled here leaves the writer alone

    def note(self, event: Event) -> None:
        """Store the event with the next entry, or in a moment. Nobody waits for it; it is lost with the owner."""
        self._waiting.append(_Waiting((event,), None))
        if self._task is None and self._note_timer is None:
            self._note_timer = asyncio.get_running_loop().call_later(NOTE_DELAY, self._wake)

    async def flush(self) -> None:
        """Wait until everything handed in is stored.

        Raises:
            LeaseLost: the ownership is lost.
        """
        while self._waiting or self._task is not None:
            self._wake()
            if self._task is not None:
                await asyncio.wait({self._task})
            self._ownership.check()

    async def drained(self) -> None:
        """Wait until what was handed in before is stored, or is lost with the job."""
        while self._task is not None:
            await asyncio.wait({self._task})

    def _wake(self) -> None:
        if self._note_timer is not None:
            self._note_timer.cancel()
            self._note_timer = None
        if self._task is None and self._waiting:
            self._task = asyncio.get_running_loop().create_task(self._write(), name=f"journal {self._state.job}")

    async def _write(self) -> None:
        batch: list[_Waiting] = []
        try:
            while self._waiting and not self._state.terminal:
                batch = self._next_batch()
                await self._write_batch(batch)
                await self._take_snapshot()
        except MeshError as error:
            self._ownership.lose(error)
        except Exception as error:
            logger.exception("the journal of job %s cannot go on", self._state.job)
            self._ownership.lose(JournalCorrupt(f"{type(error).__name__}: {error}"))
        finally:
            self._task = None
            if self._ownership.lost is not None or self._state.terminal:
                left, self._waiting = batch + self._waiting, []
                _settle(left, self._ownership.lost or LeaseLost(f"job {self._state.job} is {self._state.status}"))

    async def _take_snapshot(self) -> None:
        snapshot = await self._snapshots.due(self._state) if self._snapshots is not None else None
        if snapshot is not None:
            await self._commits.commit((snapshot,))

    async def _write_batch(self, batch: list[_Waiting]) -> None:
        """One entry for all; where that is too large for a message, one each, and only what is too large fails."""
        try:
            events = tuple(event for each in batch for event in each.events)
            if events:
                await self._commits.commit(events)
            _settle(batch, None)
        except TooLarge as error:
            if len(batch) == 1:
                return _settle(batch, error)
            for each in batch:
                await self._write_batch([each])

    def _next_batch(self) -> list[_Waiting]:
        if (decide := self._waiting[0].decide) is not None:
            self._waiting[0].events = decide()
            return [self._waiting.pop(0)]
        if len(self._waiting) == 1:
            return [self._waiting.pop()]
        size = 0
        batch: list[_Waiting] = []
        while self._waiting and self._waiting[0].decide is None:
            size += len(msgspec.json.encode(self._waiting[0].events))
            if batch and size > LARGEST_ENTRY:
                break
            batch.append(self._waiting.pop(0))
        return batch


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
