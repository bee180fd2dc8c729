"""The presence of one process: its lease, its records and its heartbeat. Everybody else's is in `directory.py`.

`lease.py` decides, `holder.py` and `publication.py` write, `heart.py` beats; here are the loops that drive them. The lease
is renewed each beat, soon after a reconnect (with jitter), and at once when it is heard to be gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from mesh.protocols.errors import MeshError
from mesh.protocols.ports import Bus, Clock, Ids, KeyValue, Store
from mesh.protocols.subjects import Subjects
from mesh.registry.directory import Directory, Mirror
from mesh.registry.heart import Heart
from mesh.registry.holder import Holder
from mesh.registry.lease import Term
from mesh.registry.outage import Outage
from mesh.registry.probes import Probes
from mesh.registry.publication import Publication
from mesh.registry.records import Figures, Instance, Lease, Schema
from mesh.registry.statements import Source
from mesh.registry.waiting import signalled

logger = logging.getLogger("mesh.registry")

PROBE_WITHIN = 0.25
WRITE_WITHIN = 30.0
RECHECK = 5.0
MOST_JITTER = 0.5
SOONEST = 0.001
"""Seconds until it is looked again whether a lease has run out: a timer may ring early by no more than floats are rounded, and
by the same again, for as long as the clock shows the same time."""
PARTING = 2.0
"""How long leaving may take, in seconds; what is not removed by then runs out or is swept."""


class Presence:
    """Says that a process lives, and what it hosts. `directory`, if the process has one, tells of losses at once."""

    def __init__(
        self,
        bus: Bus,
        store: Store,
        clock: Clock,
        ids: Ids,
        subjects: Subjects,
        *,
        process: str,
        host: str,
        pid: int,
        lease_seconds: int = 3,
        beat_seconds: float = 1.0,
        release: str = "",
        incarnation: str = "",
        directory: Directory | None = None,
    ) -> None:
        self._bus, self._clock, self._ids, self._subjects = bus, clock, ids, subjects
        self.process, self.host, self.pid, self.release = process, host, pid, release
        self.incarnation = incarnation or ids.uuid()
        self._beat_seconds = beat_seconds
        self._term = Term(lease_seconds)
        self._holder = Holder(store, clock, subjects, self._term, process)
        self._publication = Publication(store, subjects, self.incarnation, self._stored)
        self._heart = Heart(bus, clock, subjects, process, self.incarnation, beat_seconds)
        self._directory = directory
        self._outage = directory.outage if directory is not None else Outage()
        self._wake, self._due = asyncio.Event(), asyncio.Event()
        self._on_lost: list[Callable[[str], None]] = []
        self._on_regained: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._writing: asyncio.Task[bool] | None = None
        self._lapse: asyncio.TimerHandle | None = None
        self._told_lost = False
        self._connection = ("", 0)

    # -- what others ask

    @property
    def held(self) -> bool:
        """Whether the lease is ours for certain, counted from before its last acknowledged write."""
        return self._term.holds(self._clock.monotonic())

    @property
    def confident(self) -> bool:
        """Whether it was acknowledged within half a lease. Who is not confident starts no new effect."""
        return self._term.confident(self._clock.monotonic())

    @property
    def lost(self) -> bool:
        """Whether it ran out unacknowledged, or another incarnation took the name."""
        return self._term.state in ("lost", "taken")

    @property
    def superseded(self) -> bool:
        """Whether another incarnation took the name. Nothing brings it back, and nothing is written under it any more."""
        return self._term.state == "taken"

    @property
    def lag(self) -> float:
        """By how many seconds the event loop was late at the last beat."""
        return self._heart.lag

    @property
    def silent_for(self) -> float:
        """Seconds for which no beat can leave; not above zero if one could leave now."""
        return self._heart.silent_for

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Call this, with the reason, each time the lease is lost: when the count runs out, not when it is noticed; and when it
        is `superseded`."""
        self._on_lost.append(callback)

    def on_regained(self, callback: Callable[[], None]) -> None:
        """Call this when a lease that had run out is ours again. What was lost meanwhile stays lost."""
        self._on_regained.append(callback)

    # -- life

    async def start(self) -> None:
        """Take the lease: from now on this process is there.

        Raises:
            NameTaken: another living process holds the name; the message says what to do.
            Unavailable · TimedOut: the store is out of reach.
        """
        await self._heart.listen()
        try:
            await self._holder.take(self._lease(), self._alive)
        except BaseException:
            await self._heart.close()
            raise
        self._connection = self._bus.client
        self._acquired()
        self._bus.on_reconnect(self._reconnected)
        if self._directory is not None:
            heard = (self._lease_heard, self._record_heard, self._publication.written, self._record_passed)
            self._directory.mirror(self.process, Mirror(*heard))
            self._directory.own_lease(self._lease(), self._term.revision)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(each) for each in (self._stay(), self._publish(), self._heart.beat())]

    async def register(self, instance: Instance, schemas: Iterable[Schema] = ()) -> None:
        """List an instance of this process, and store the schemas it names. Again: the record is replaced.

        Returns when it is stored; if the store is out of reach, it is stored when that is back.
        """
        if instance.process != self.process:
            raise ValueError(f"instance {instance.key!r} is not of this process, {self.process!r}")
        if instance.incarnation != self.incarnation:
            instance = msgspec.structs.replace(instance, incarnation=self.incarnation)
        self._publication.set(instance, schemas)
        await self._write_soon()

    async def update(self, instance: Instance) -> None:
        """Replace the record of an instance, as when it becomes ready or begins to drain. Like `register`."""
        await self.register(instance)

    async def deregister(self, instance: Instance) -> None:
        """List the instance no more. Again: nothing happens."""
        self._heart.drop(f"{instance.agent}.{instance.instance}")
        self._publication.remove(instance.key)
        await self._write_soon()

    def set_figures(self, key: str, figures: Figures) -> None:
        """The figures of `<agent>.<instance>`, told with the next beat. The same again: nothing to tell."""
        self._heart.set(key, figures)

    def testify(self, source: Source) -> None:
        """Tell of bidders what this source measures, as long as there are beats: that is, while somebody is hosted here."""
        self._heart.testify(source)

    async def stop(self) -> None:
        """Leave: the lease is purged, then the records; everybody's directory knows at once. Again: nothing happens."""
        tasks, self._tasks = self._tasks, []
        ending = [*tasks, self._writing] if self._writing is not None else tasks
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._lapse is not None:
            self._lapse.cancel()
        if tasks and not self._term.over:
            await self._parting(self._holder.release())
            await self._parting(self._publication.withdraw())
        await self._heart.close()

    # -- the loops

    async def _stay(self) -> None:
        """Renew each beat, or when woken, until the lease is over."""
        while not self._term.over:
            planned = self._clock.monotonic() + self._beat_seconds
            if not await signalled(self._wake, self._beat_seconds):
                self._heart.lag = max(0.0, self._clock.monotonic() - planned)
            try:
                async with asyncio.timeout(max(1.0, self._term.seconds / 3)):
                    await self._renew()
            except (MeshError, TimeoutError) as error:
                self._trouble(error)
            except Exception:
                logger.exception("%s: renewing the lease failed", self.process)

    async def _renew(self) -> None:
        renewal = await self._holder.renew(self._lease())
        self._reached()
        if renewal == "superseded":
            self._told_lost = False  # though it had run out before: now nothing brings it back
            self._tell_lost("another process took the name")
            return
        self._acquired()
        connection = self._bus.client
        if renewal == "recreated" or connection != self._connection:
            self._connection = connection
            self._publication.again()
            self._heart.refresh()
        if self._publication.due:
            self._due.set()

    async def _publish(self) -> None:
        """Write what is due in the registry bucket whenever there is something, until the lease is over."""
        while not self._term.over:
            if not await signalled(self._due, RECHECK) and self._directory is not None:
                await self._at_the_store(self._publication.recheck())
            if self._publication.due and not await self._write():
                await self._clock.sleep(self._beat_seconds)
                self._due.set()

    async def _write_soon(self) -> None:
        """All who have something to write meanwhile wait for the same round."""
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write(), name="records")
        writing = self._writing
        await asyncio.wait([writing])
        if writing.cancelled() or not writing.result():  # cancelled: by `stop`, which is not for whoever waits here
            self._due.set()

    def _stored(self, record: Instance, revision: int) -> None:
        if self._directory is not None:
            self._directory.own_record(record, revision)

    async def _write(self) -> bool:
        """Only while the lease is ours: else another start may have our name, and records of its own under it."""
        return self.held and await self._at_the_store(self._publication.write())

    async def _at_the_store(self, work: Awaitable[None]) -> bool:
        """Whether it was done."""
        try:
            async with asyncio.timeout(WRITE_WITHIN):
                await work
        except (MeshError, TimeoutError) as error:
            logger.info("%s: records not written yet: %s", self.process, str(error) or "timed out")
            return False
        except Exception:
            logger.exception("%s: records not written yet", self.process)
            return False
        return True

    # -- what happens to the lease

    def _acquired(self) -> None:
        self._look_in_time()
        if self._told_lost:
            self._told_lost = False
            _call(self._on_regained)

    def _look_in_time(self) -> None:
        loop = asyncio.get_running_loop()
        if self._lapse is not None:
            self._lapse.cancel()
        left = max(SOONEST, self._term.expires_at - self._clock.monotonic())
        self._lapse = loop.call_at(loop.time() + left, self._look)

    def _look(self) -> None:
        """The count may have run out just now: whoever relies on the lease is told at this very moment."""
        now = self._clock.monotonic()
        if self._term.lapse(now):
            self._tell_lost(f"not renewed for {self._term.seconds} s")
        elif now < self._term.expires_at and not self._term.over:  # uvloop's timers ring up to 1.5 ms early
            self._look_in_time()

    def _reached(self) -> None:
        if self._outage.ended("presence", self._clock.monotonic(), self._term.seconds):
            logger.info("%s: the registry is back", self.process)

    def _tell_lost(self, why: str) -> None:
        logger.warning("%s: the lease is lost: %s", self.process, why)
        if not self._told_lost:
            self._told_lost = True
            _call(self._on_lost, why)

    def _trouble(self, error: Exception) -> None:
        if not self._outage.active:
            logger.warning("%s: the registry is out of reach: %s", self.process, str(error) or "timed out")
        self._outage.began("presence")
        self._holder.forget_bucket()

    # -- what is heard

    def _reconnected(self) -> None:
        """Write the new connection into the lease, and everything anew if the buckets are; not all in one instant."""
        if self._tasks:
            jitter = self._ids.random.random() * min(self._beat_seconds, MOST_JITTER)
            asyncio.get_running_loop().call_later(jitter, self._wake.set)

    def _lease_heard(self, change: KeyValue) -> None:
        """Our lease changed under us; the next renewal finds out what happened."""
        if change.value is None or self.incarnation.encode() not in change.value:
            self._wake.set()

    def _record_heard(self, change: KeyValue) -> None:
        """Ours is gone, or another start wrote over it: then the lease tells whose name it is, and ours is written after that."""
        if self._publication.heard(change):
            (self._due if change.value is None else self._wake).set()

    def _record_passed(self, change: KeyValue) -> None:
        """A record is told of: behind it nothing of ours comes that was written before."""
        if self._publication.passed(change.revision):
            self._due.set()

    # -- parts

    def _lease(self) -> Lease:
        server_id, client_id = self._bus.client
        return Lease(
            process=self.process,
            host=self.host,
            pid=self.pid,
            incarnation=self.incarnation,
            server_id=server_id,
            client_id=client_id,
            seconds=self._term.seconds,
            release=self.release,
        )

    async def _alive(self, holder: Lease) -> bool | None:
        """Whether the one who holds our name lives: True, False, or None when it says nothing."""
        probes = Probes(self._bus, self._clock, self._ids, self._subjects, self.process)
        asked = await probes.ask({holder.process: holder.incarnation})
        try:
            await asked.complete(PROBE_WITHIN)
        finally:
            await asked.close()
        return None if asked.silent else not asked.dead

    async def _parting(self, work: Awaitable[None]) -> None:
        """Leaving never fails: what is not removed runs out, or is swept."""
        try:
            async with asyncio.timeout(PARTING):
                await work
        except (MeshError, TimeoutError) as error:
            logger.info("%s: left without removing everything: %s", self.process, str(error) or "timed out")


def _call(callbacks: Sequence[Callable[..., None]], *given: str) -> None:
    for each in list(callbacks):
        try:
            each(*given)
        except Exception:
            logger.exception("a callback of presence failed")
