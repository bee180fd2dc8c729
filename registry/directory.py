"""The directory every process keeps of everybody: watched, so that a lookup is a dictionary access.

`witness.py` decides who is there, `roster.py` remembers, `sweeper.py` clears away; here they are joined to the bus and the
store, and given their public face.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from mesh.protocols.acts import Bid
from mesh.protocols.constraints import Effect
from mesh.protocols.errors import MeshError, NoResponders, TimedOut
from mesh.protocols.naming.presence import DISCONNECTS
from mesh.protocols.ports import Bus, Clock, Ids, KeyValue, Message, Store, Subscription, Watch
from mesh.protocols.subjects import Subjects
from mesh.registry.advisories import disconnected
from mesh.registry.buckets import LEASE_PREFIX, lease_key, open_leases, open_records
from mesh.registry.chores import Chores
from mesh.registry.hearsay import Hearsay
from mesh.registry.listing import Change, Listing
from mesh.registry.outage import Outage
from mesh.registry.probes import Probes, Round
from mesh.registry.records import Beat, Capability, Figures, Instance, Lease, beat_in
from mesh.registry.schemas import Schemas
from mesh.registry.sweeper import Sweeper
from mesh.registry.witness import Witness

logger = logging.getLogger("mesh.registry")

START_WITHIN = 10.0
REWRITTEN_WITHIN = 10.0
"""Seconds in which everybody at a cluster has heard that it lost what they had written, and has written it again: while its
servers restart one after the other, a watch whose first try is lost comes back after five."""
ASK_AT_START = 256
"""Up to so many processes are asked for their figures when a directory opens; more will tell with their next full beat."""
A_MOMENT = 0.05
"""Seconds that opening a directory waits for figures, beyond the answer of the server itself."""

OnKey = Callable[[KeyValue], None]
Written = Callable[[KeyValue], Instance | None]


class Mirror(NamedTuple):
    """Who is told of its own keys: a presence in this very process. `written` gives the record that a change wrote, if the
    presence holds it: it need not be read, nor kept twice. `on_any_record` hears of everybody's, behind `on_record`."""

    on_lease: OnKey
    on_record: OnKey
    written: Written
    on_any_record: OnKey


class Directory:
    """Who is there. `process` is the name under which it asks others; one of its own is made up if it has none."""

    def __init__(
        self, bus: Bus, store: Store, clock: Clock, ids: Ids, subjects: Subjects, *, process: str = ""
    ) -> None:
        self._bus, self._store, self._clock, self._subjects = bus, store, clock, subjects
        self.outage = Outage()
        self._chores = Chores()
        self._probes = Probes(bus, clock, ids, subjects, process or f"watch-{ids.token()}")
        sweeper = Sweeper(store, clock, ids, subjects, self._probes, self._chores)
        self._witness = sweeper.witness = Witness(sweeper, self._emit, self.outage)
        self._witness.rewritten_within = REWRITTEN_WITHIN if getattr(bus, "cluster", "") else 0.0
        self._roster = self._witness.roster
        self.hearsay = Hearsay(process, self._roster.hosts)
        self._schemas = Schemas(store, subjects)
        self._callbacks: list[Callable[[Change], None]] = []
        self._mirrors: dict[str, Mirror] = {}
        self._subscriptions: list[Subscription | Watch] = []
        self._watching = False
        self._stopped = False

    # -- life

    async def start(self, *, ask: bool = True) -> None:
        """Watch. When this returns the directory is complete, and of the dead among the listed those that the server knows
        of are gone. `ask=False` leaves out the question to everybody (figures then come with their next beats).

        Raises:
            Unavailable · TimedOut: the server or the store is out of reach.
        """
        self._bus.on_disconnect(self._disconnected)
        self._bus.on_reconnect(self._reconnected)
        leases, records = await asyncio.gather(
            open_leases(self._store, self._subjects), open_records(self._store, self._subjects)
        )
        self._subscriptions += await asyncio.gather(
            self._bus.subscribe(DISCONNECTS, self._advised),
            self._bus.subscribe(self._subjects.beat_all(), self._beat),
        )
        watches = [await leases.watch(self._lease), await records.watch(self._record)]
        self._subscriptions += watches
        self._watching = True
        await _within(START_WITHIN, *(watch.current for watch in watches))
        if ask and 0 < len(self._roster.members) <= ASK_AT_START:
            await self._ask_in_passing()

    async def stop(self) -> None:
        """Watch no more. Again: nothing happens."""
        self._stopped = True
        subscriptions, self._subscriptions = self._subscriptions, []
        for each in subscriptions:
            await each.close()
        await self._chores.stop()

    # -- looking

    def lookup(
        self,
        capability: str,
        *,
        labels: Mapping[str, str] | None = None,
        version: str | None = None,
        state: str | None = "ready",
    ) -> Sequence[Listing]:
        """Who offers the capability, has all these labels, this version (`1` means any `1.…`) and this state (None: any).

        The same question has the same answer object until something about these instances changes.
        """
        return self._roster.lookup(capability, labels, version, state)

    def declared(self, capability: str) -> Capability | None:
        """What those who offer the capability declare of it: of several, as while a release is rolled out, the strictest, and of
        equals somebody ready."""
        return self._roster.declared(capability)

    def effects(self, capability: str) -> frozenset[Effect]:
        """How those who offer the capability declare that it may be repeated: nearly always one, or none where nobody does."""
        return self._roster.effects(capability)

    def listing(self, key: str) -> Listing | None:
        """The instance under `<process>.<agent>.<instance>`."""
        return self._roster.listed.get(key)

    def instance(self, agent: str, instance: str | None = None) -> Listing | None:
        """An instance of the agent: the one named so, or any (a ready one if there is one)."""
        found = [each for each in self.instances(agent) if instance is None or each.record.instance == instance]
        return next((each for each in found if each.state == "ready"), found[0] if found else None)

    def instances(self, agent: str | None = None) -> Sequence[Listing]:
        """Every listed instance, or those of one agent."""
        return list(self._roster.listed.values()) if agent is None else self._roster.of_agent(agent)

    def agents(self) -> Sequence[str]:
        """The names of all agents."""
        return sorted(self._roster.by_agent)

    def capabilities(self) -> Sequence[str]:
        """Every capability that somebody offers."""
        return self._roster.capabilities

    def processes(self) -> Sequence[Lease]:
        """The lease of every living process."""
        return [member.lease for member in self._roster.members.values()]

    def process(self, process: str) -> Lease | None:
        """The lease of one process, or None."""
        member = self._roster.members.get(process)
        return None if member is None else member.lease

    def of_process(self, process: str) -> Sequence[Listing]:
        """The instances of one process."""
        return self._roster.of_process(process)

    def alive(self, process: str) -> bool:
        """Whether it is listed. That it is not proves nothing: safety rests on epochs, never on this."""
        return process in self._roster.members

    @property
    def poor(self) -> Mapping[str, str]:
        """Versions whose outputs several processes found wanting, by `<agent>@<version> <capability>`, and why. Always the
        same object, nearly always empty."""
        return self._witness.poor

    async def schema(self, digest: str) -> dict[str, Any] | None:
        """The JSON Schema of that digest, or None."""
        return await self._schemas.get(digest)

    def on_change(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call this on every change. The answer takes the callback off again."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback) if callback in self._callbacks else None

    # -- what this process learns by itself

    def learn(self, key: str, fresh: Bid | Figures, capability: str = "") -> None:
        """Fresh figures from a reply: the whole, or the standing bid for one capability. An accusation is dropped."""
        listing = self._roster.listed.get(key)
        if listing is None:
            return
        if not isinstance(fresh, Bid):
            self._witness.figures(key, fresh, self._clock.monotonic())
        elif capability:
            listing.hear_bid(capability, fresh, self._clock.monotonic())
        self._witness.absolve(key)

    def suspect(self, name: str, why: str) -> None:
        """Pass over a process, until a sign of life, or an instance (by key), until `learn` or `absolve`."""
        if "." in name:
            self._witness.accuse(name, why)
        else:
            self._witness.silent(name, why)

    def absolve(self, key: str) -> None:
        """The instance proved itself. Again: nothing happens."""
        self._witness.absolve(key)

    def bury(self, process: str, why: str, *, pid: int | None = None) -> bool:
        """The process is known to be dead, as its parent knows: off the list now, its lease purged in a moment.

        With `pid`, only if its lease names that pid: a successor under the same name stays. False if it was not listed.
        """
        lease = self.process(process)
        if lease is None or (pid is not None and lease.pid != pid):
            return False
        return self._witness.bury(process, why)

    async def ping(self, process: str, timeout: float = 1.0) -> float:
        """Ask a process whether it lives; answers the seconds it took. What is found out is also noted here.

        Raises:
            NoResponders: it is dead, or was never there.
            TimedOut: it said nothing; it is suspected until a sign of life comes.
        """
        if not self.alive(process):
            raise NoResponders(f"no process {process!r} is there")
        asked = await self.roll_call([process], timeout)
        if process in asked.answered:
            return asked.answered[process]
        if process in asked.dead:
            raise NoResponders(f"process {process!r} is dead")
        raise TimedOut(f"process {process!r} did not answer within {timeout:g} s")

    async def verified(self, timeout: float = 0.5) -> Sequence[Listing]:
        """Ask everybody at once; the dead are dropped, the silent suspected, figures are fresh. Then the listing.

        Takes one round trip, and the whole `timeout` (seconds) only if somebody is silent.

        Raises:
            TimedOut: the server itself did not answer in twice that time.
        """
        await self.roll_call(timeout=timeout)
        return self.instances()

    async def roll_call(self, processes: Iterable[str] | None = None, timeout: float = 0.5) -> Round:
        """Ask these processes, or all, at once whether they live. What is found out is also noted here.

        Answers who is `dead`, who `silent`, and who `answered` after how many seconds.

        Raises:
            TimedOut: the server itself did not answer in twice that time.
        """
        names = self._roster.members.keys() if processes is None else processes
        asked = await self._probes.ask(self._incarnations(names), self._answered)
        try:
            await asked.fence(2 * timeout)
            await asked.complete(timeout)
        finally:
            await asked.close()
        self._note(asked)
        for process in asked.silent:
            self._witness.silent(process, f"no answer within {timeout:g} s")
        return asked

    def own_lease(self, lease: Lease, revision: int) -> None:
        """This process has its lease, as the watch will tell in a moment. Nothing happens in a directory that does not watch."""
        if self._watching:
            found = KeyValue(lease_key(lease.process), msgspec.json.encode(lease), revision)
            self._witness.lease(found, self._clock.monotonic())

    def own_record(self, record: Instance, revision: int) -> None:
        """A record of this process is stored: it can be asked from here by its name, before the watch tells of it."""
        if self._watching and revision > self._roster.revision(record.key):
            self._emit(self._roster.record(record, revision))

    def mirror(self, process: str, mirror: Mirror) -> None:
        """Tell the presence of this process what happens to its own keys. There is one mirror a process."""
        self._mirrors[process] = mirror

    # -- what is heard

    def _lease(self, change: KeyValue) -> None:
        self._witness.lease(change, self._clock.monotonic())
        mirror = self._mirrors.get(change.key[len(LEASE_PREFIX) :])
        if mirror is not None:
            mirror.on_lease(change)

    def _record(self, change: KeyValue) -> None:
        mirror = self._mirrors.get(change.key.partition(".")[0]) if self._mirrors else None
        self._witness.record(change, self._clock.monotonic(), mirror and mirror.written(change))
        if mirror is not None:
            mirror.on_record(change)
        for each in self._mirrors.values():
            each.on_any_record(change)

    def _beat(self, message: Message) -> None:
        beat = beat_in(message.subject, message.data)
        if beat is not None:
            self._answered(beat)

    def _answered(self, beat: Beat) -> None:
        now = self._clock.monotonic()
        self._witness.beat(beat, now)
        if beat.conduct:
            lease = self.process(beat.process)
            if lease is not None and lease.incarnation == beat.incarnation:
                self.hearsay.told(beat.process, beat.conduct, now)

    def _advised(self, message: Message) -> None:
        advisory = disconnected(message.data)
        if advisory is not None and advisory.speaks_of_death:
            self._witness.disconnected(advisory.connection, f"its connection ended: {advisory.reason}")

    def _disconnected(self) -> None:
        if not self._stopped:
            self.outage.began("bus")

    def _reconnected(self) -> None:
        self.outage.ended("bus", self._clock.monotonic(), self._witness.lease_seconds)
        self._schemas.forget_bucket()

    # -- inside

    async def _ask_in_passing(self) -> None:
        """Wait until the dead are known, and a moment for the figures of the living; later ones come when they come."""
        try:
            asked = await self._probes.ask(self._incarnations(self._roster.members), self._answered)
            self._chores.plan("end of the first question", 2.0, asked.close)
            await asked.fence(1.0)
            self._note(asked)
            await asked.complete(A_MOMENT)
        except MeshError as error:
            logger.info("the directory opens without having asked everybody: %s", error)

    def _incarnations(self, processes: Iterable[str]) -> dict[str, str]:
        members = self._roster.members
        return {name: members[name].lease.incarnation for name in processes if name in members}

    def _note(self, asked: Round) -> None:
        for process in asked.dead & asked.asked.keys():
            incarnation = asked.asked[process]
            self._witness.nobody_listens(process, incarnation, self._clock.monotonic(), self._bus.client[0])

    def _emit(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind == "process-down":
                self.hearsay.forget(change.process)
            for callback in list(self._callbacks):
                try:
                    callback(change)
                except Exception:
                    logger.exception("a callback of the directory failed on %s of %s", change.kind, change.process)


async def _within(timeout: float, *waits: Any) -> None:
    try:
        async with asyncio.timeout(timeout):
            for each in waits:
                await each
    except TimeoutError:
        raise TimedOut(f"the registry was not read within {timeout:g} s: is the server overloaded?") from None
