"""`Journal`: the one writer of one job, in its owner, under one epoch.

Everything the job does goes through here before it is done. Events that are handed in during the same turn of the loop
share an entry (`writer.py`); how an entry comes to count stands in `commits.py`.

Once somebody else owns the job, or the stream could not be reached for too long, the journal is lost for good
(`ownership.py`): every later call raises `LeaseLost` again, whatever became of the first one.
"""

from __future__ import annotations

from mesh.jobs.journals.commits import Commits, who_has
from mesh.jobs.journals.journals import Journals
from mesh.jobs.journals.ownership import Ownership, as_lost
from mesh.jobs.journals.snapshots import Snapshots
from mesh.jobs.journals.writer import Decide, Writer
from mesh.protocols.errors import LeaseLost, MeshError
from mesh.protocols.job_events import Event, OwnerClaimed, OwnerReleased
from mesh.protocols.job_state import JobState
from mesh.protocols.ports import Clock, Ids


class Journal(Ownership):
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
        super().__init__()
        self.state = state
        self.tenant = tenant
        self._clock = clock
        self._owner = owner
        self._incarnation = incarnation
        self._anchor = (0.0, 0.0)
        self._commits = Commits(journals, clock, ids, state, tenant=tenant, owner=owner, job_time=self.job_time)
        self._writer = Writer(self._commits, state, self, snapshots)

    @property
    def epoch(self) -> int:
        """Under which the entries stand: how many owners the job has had, this one included."""
        return self._commits.epoch

    # -- who owns it

    async def claim(self, *events: Event) -> None:
        """Become the owner under the next epoch, read back through the claim, and set the job's clock by the server's.

        `events` follow the claim in the same entry.

        Raises:
            LeaseLost: somebody else was first.
        """
        self._commits.epoch = self.state.epoch + 1
        claimed = OwnerClaimed(process=self._owner, incarnation=self._incarnation)
        try:
            await self._commits.commit((claimed, *events))
            at = await self._commits.read_claim()
            self._anchor = (at, self._clock.monotonic())
            self.state.date_claim(at)
        except MeshError as error:
            self.lose(error)
            raise as_lost(error) from None

    def adopt(self) -> None:
        """Be the owner under the claim that the job was journaled with, as it was read: the server's timestamp of that sets the
        job's clock.

        Raises:
            LeaseLost: it is not ours, or not any more.
        """
        head, ours = self.state.head, (self._owner, self._incarnation)
        if head is None or head.state != "running" or (head.owner, head.incarnation) != ours:
            self.abandon(who_has(self.state))
        self._anchor = (self.state.claims[-1].at, self._clock.monotonic())

    async def release(self, reason: str) -> None:
        """Hand the job back: what was handed in before is stored first, and nothing can be added afterwards."""
        self.freeze(f"the job was handed back: {reason}")
        await self.let_go(OwnerReleased(reason=reason))

    async def let_go(self, event: Event) -> None:
        """Store the last event under this owner, after what was handed in before; nothing can be added afterwards.

        Raises:
            LeaseLost: somebody else owns the job by now, or the stream was out of reach.
        """
        if self.lost is not None:
            raise LeaseLost(self.lost.message)
        await self._writer.store((event,))
        self.lose(self.frozen or LeaseLost("the job was let go of"))

    def job_time(self) -> float:
        """Unix seconds by the server's clock: its timestamp of the claim, plus what has passed here since."""
        server, here = self._anchor
        return server + self._clock.monotonic() - here if server else 0.0

    # -- what happens

    async def append(self, *events: Event) -> None:
        """Store the events, in this order and in one entry. When this returns they count.

        Raises:
            LeaseLost: somebody else owns the job by now, or the stream was out of reach for `PATIENCE` seconds.
            TooLarge: more than one message can hold; nothing was stored.
        """
        self.check()
        await self._writer.store(events)

    async def decide(self, decide: Decide) -> None:
        """Store what `decide` gives once everything that was handed in before is folded: what somebody else's word makes of the
        job may be settled by an entry that is on its way. Errors as in `append`."""
        self.check()
        await self._writer.store((), decide)

    def note(self, event: Event) -> None:
        """Store the event with the next entry, or in a moment. Nobody waits for it; it is lost with the owner."""
        if self.lost is None and self.frozen is None and not self.state.terminal:
            self._writer.note(event)

    async def flush(self) -> None:
        """Wait until everything handed in is stored.

        Raises:
            LeaseLost: somebody else owns the job by now, or the stream was out of reach.
        """
        await self._writer.flush()

    async def drained(self) -> None:
        """Wait until what was handed in before is stored, or is lost with the job."""
        await self._writer.drained()
