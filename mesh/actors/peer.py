"""`Peer`: one process in the mesh: what it hosts, whom it knows, and how it speaks.

Everything above stands on it: the contract net fills `on_act` and `subcontract`, jobs and clients ask through it. It puts
the parts together and has no logic of its own; what it can say is in `speaking`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import msgspec

from mesh.actors.admitting.killing import Killing
from mesh.actors.admitting.pressure import Pressure
from mesh.actors.admitting.rationing import Rationing
from mesh.actors.admitting.sharing import Sharing
from mesh.actors.asking.asking import Asking
from mesh.actors.asking.doubts import Doubts
from mesh.actors.asking.routing import Routing
from mesh.actors.asking.subcontract import Subcontract, Subcontracted
from mesh.actors.asking.votes import Votes
from mesh.actors.declaring.definition import definition_of
from mesh.actors.declaring.handler import Handler
from mesh.actors.events.burial import Burial, Bury
from mesh.actors.events.events import Events
from mesh.actors.events.reactions import Reactions
from mesh.actors.exchanging.dispatch import Dispatch
from mesh.actors.exchanging.exchange import Exchange
from mesh.actors.exchanging.inbound import Inbound
from mesh.actors.exchanging.lineage import Lineage
from mesh.actors.exchanging.micro import Micro
from mesh.actors.exchanging.payloads import STORE, Payloads
from mesh.actors.exchanging.tongue import Tongue
from mesh.actors.identity import Connected as Connected
from mesh.actors.identity import Identity as Identity
from mesh.actors.keeping.keeping import Keeping
from mesh.actors.registration import Registration
from mesh.actors.running.actor import Actor
from mesh.actors.running.tools import Tools
from mesh.actors.speaking import Speaking
from mesh.policy.limiter import Limiter
from mesh.policy.policy import Policy
from mesh.protocols.acts import Bid
from mesh.protocols.envelope import Sender
from mesh.protocols.errors import Draining, InvalidName, Overloaded, Refused, Unavailable
from mesh.protocols.naming.names import check_token
from mesh.protocols.ports import Clock, Ids, Subscription
from mesh.protocols.subjects import Subjects
from mesh.registry.directory import Directory
from mesh.registry.listing import Change
from mesh.registry.presence import Presence
from mesh.resilience.breaker import BreakerPolicy
from mesh.resilience.breakers import Breakers
from mesh.resilience.deadline import Deadline
from mesh.resilience.quality import Quality
from mesh.telemetry.telemetry import Telemetry, silent

T = TypeVar("T")
Interceptor = Callable[[Actor, Handler, Callable[..., Any]], Callable[..., Any]]
"""Gives what is called in a handler's place: `mesh.testing.Faults` stands there."""
LOUD = 10
"""So many drops of one kind are told one by one, then every thousandth."""


class Peer(Speaking):
    """One process in the mesh. `start` it, `host` agents on it, `drain` or `stop` it."""

    def __init__(
        self,
        connection: Connected,
        *,
        identity: Identity,
        namespace: str = "default",
        clock: Clock,
        ids: Ids,
        telemetry: Telemetry | None = None,
        directory: Directory | None = None,
        presence: Presence | None = None,
        breakers: BreakerPolicy | None = None,
        lease_seconds: int = 3,
        beat_seconds: float = 1.0,
        agent: str = "client",
        event_batches: bool = True,
    ) -> None:
        check_token(identity.process, "process")
        self.identity = identity if identity.incarnation else msgspec.structs.replace(identity, incarnation=ids.uuid())
        self.process = identity.process
        self.bus, self.store, self.clock, self.ids = connection.bus, connection.store, clock, ids
        self.subjects = Subjects(namespace)
        self.telemetry = telemetry or silent()
        self.root = Lineage(sender=Sender(agent, self.process, self.process))
        self.directory = directory or Directory(self.bus, self.store, clock, ids, self.subjects, process=self.process)
        self.presence = presence or self._presence(lease_seconds, beat_seconds)
        self.policy = Policy(self.store, self.subjects, clock, self.telemetry)
        self.limiter = Limiter(self.policy, self.store, self.subjects, clock, ids.random)
        self.breakers = Breakers(clock, ids.random, breakers)
        self.quality = Quality(clock, ids.random)
        self.pressure = Pressure(lambda: self.presence.lag)
        self.actors: dict[str, Actor] = {}
        self.counts: Counter[str] = Counter()
        self.on_act: Callable[[Inbound], None] | None = None
        self.subcontract: Callable[[Subcontract], Awaitable[Subcontracted]] | None = None
        self.standing_bids: Callable[[Actor], dict[str, Bid]] | None = None
        self.interceptor: Interceptor | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._hosted: list[Callable[[Actor], Awaitable[None] | None]] = []
        self._unhosted: list[Callable[[Actor], Awaitable[None] | None]] = []
        self._escalated: list[Callable[[Actor, BaseException], None]] = []
        self._subscription: Subscription | None = None
        self._started = False
        self._stopping = False
        self._assemble(event_batches)

    def _presence(self, lease_seconds: int, beat_seconds: float) -> Presence:
        who = self.identity
        return Presence(
            self.bus, self.store, self.clock, self.ids, self.subjects,
            process=who.process, host=who.host, pid=who.pid, release=who.release, incarnation=who.incarnation,
            lease_seconds=lease_seconds, beat_seconds=beat_seconds, directory=self.directory,
        )  # fmt: skip

    def _assemble(self, event_batches: bool) -> None:
        """The parts of this package, each handed what it needs."""
        self.payloads = Payloads(self.store, self.subjects.bucket(STORE))
        self.exchange = Exchange(self.bus, self.subjects, self.process, self.clock, self.ids, self.payloads)
        self.tongue = Tongue(self.directory)
        self.events = Events(self, batches=event_batches)
        self.registration = Registration(self)
        self.tools = Tools(self)
        self.votes = Votes(self)
        self.doubts = Doubts(self.directory, self.breakers, self.quality)
        self.routing = Routing(self.directory, self.doubts, self.policy, self.subjects, self.process, self.ids)
        self._asking = Asking(self, self.routing)
        self.bury: Bury = Burial(self.store, self.subjects, self.payloads)
        self._reactions = Reactions(self)
        self._killing, self._sharing = Killing(self), Sharing(self)
        self.rationing = Rationing(self)
        self._dispatch = Dispatch(self)
        self._micro = Micro(self)
        self.keeping = self._keeping()
        self.directory.on_change(self._changed_there)
        self.presence.on_lost(self._name_lost)

    def _keeping(self) -> Keeping:
        return Keeping(
            self.store, self.subjects, self.clock, self.ids, self.process, self.identity.incarnation,
            gone=self._gone, listed=lambda: self.presence.confident,
        )  # fmt: skip

    async def _gone(self, process: str, incarnation: str) -> bool:
        """Whether that start of a process has ended. While the store was away, a missing lease proves nothing."""
        lease = self.directory.process(process)
        doubtful = self.directory.outage.doubtful(self.clock.monotonic())
        return not doubtful and (lease is None or lease.incarnation != incarnation)

    # -- its life

    async def start(self, *, watch: bool = True) -> None:
        """Hear replies, know what is killed and, unless `watch` is false, who is there. Again: nothing happens.

        Raises:
            Unavailable · TimedOut: the server or the store is out of reach.
        """
        if not self._started:
            self._started = True
            try:
                await self.exchange.start()
                directory = self.directory.start() if watch else asyncio.sleep(0)
                for failed in await asyncio.gather(self.policy.start(), directory, return_exceptions=True):
                    if failed is not None:
                        raise failed
            except BaseException:
                self._started = False
                raise

    async def listen(self) -> None:
        """Take commands from now on: not before the name is ours, or we would answer for whoever has it. Again: nothing."""
        if self._subscription is None:
            inbox = self.subjects.rpc_inbox(self.process)
            self._subscription = await self.bus.subscribe(inbox, self._dispatch.on_rpc)
        await self._micro.start()

    async def host(
        self,
        agent: Any,
        *,
        instance: str | None = None,
        labels: Mapping[str, str] | None = None,
        capacity: int | None = None,
    ) -> Actor:
        """Start an instance of an agent (function, class, `partial` of a class, or definition) and register it.

        Raises:
            Refused: an instance of that name runs here already. HandlerFailed: `on_start` kept raising. Draining: the process is
            leaving, or the instance was taken away while it started.
            NameTaken: another living process has this process's name.
        """
        definition = definition_of(agent)
        if instance is not None:
            check_token(instance, "instance")
        self._check_staying()
        await self.registration.begin()
        self._check_staying()
        name = self._free_name(definition.name) if instance is None else instance
        key = f"{definition.name}.{name}"
        if key in self.actors:
            raise Refused(f"{key} runs in {self.process} already; give it another instance name")
        actor = Actor(self, definition, name, labels=labels, capacity=capacity)
        self.actors[actor.key] = actor
        try:
            await actor.start()
            await self._reactions.add(actor)
            for callback in self._hosted:
                await _awaited(callback(actor))
            actor.hooks.check_there()
            await self.registration.add(actor)
        except BaseException:
            await self.unhost(actor, drain=False)
            raise
        return actor

    async def unhost(self, actor: Actor, *, drain: bool = True) -> None:
        """Take one instance away: it takes no more work, finishes what it has (`drain`), and is no longer listed."""
        await self._reactions.remove(actor)
        for callback in self._unhosted:
            await _awaited(callback(actor))
        await (actor.drain() if drain else actor.stop())
        await self.registration.remove(actor)
        self.actors.pop(actor.key, None)

    async def drain(self, timeout: float = 30.0) -> None:
        """Take no more work and finish what is here, at most for `timeout` seconds; then `stop`."""
        deadline = Deadline.after(self.clock, timeout)
        waiting = [asyncio.ensure_future(self.unhost(actor)) for actor in list(self.actors.values())]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=max(0.0, deadline.remaining()))
            for each in late:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        await self.stop()

    async def stop(self) -> None:
        """Leave the mesh at once: running handlers are cancelled, callers told. The connection stays. Again: nothing."""
        if self._stopping:
            return
        self._stopping = True
        leaving = [self.spawn(self.unhost(actor, drain=False), f"stop {key}") for key, actor in self.actors.items()]
        await asyncio.gather(*leaving, return_exceptions=True)
        self.rationing.stop()
        self._dispatch.stop()
        self.events.flush()
        self.votes.stop()
        await self._micro.stop()
        await self.registration.stop()
        if self._subscription is not None:
            await self._subscription.close()
        if self.registration.begun:
            await self.presence.stop()
        await self.exchange.stop(Unavailable("this process is leaving the mesh"))
        await self.directory.stop()
        await self.limiter.stop()
        await self.policy.stop()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what the floors above hook into

    def on_hosted(self, callback: Callable[[Actor], Awaitable[None] | None]) -> None:
        """Call this for every actor that has started, before it is listed; also for those that run already, at once."""
        self._hosted.append(callback)
        for actor in self.actors.values():
            result = callback(actor)
            if result is not None:
                self.spawn(_awaited(result), "hosted")

    def on_unhosted(self, callback: Callable[[Actor], Awaitable[None] | None]) -> None:
        """Call this for every actor that is about to be taken away."""
        self._unhosted.append(callback)

    def on_escalated(self, callback: Callable[[Actor, BaseException], None]) -> None:
        """Call this when an actor crashed too often and was given up."""
        self._escalated.append(callback)

    def refuse(self, inbound: Inbound, error: Any) -> None:
        """Answer a message with an error, and count it."""
        self._dispatch.refuse(inbound, error)

    # -- for the parts of this package

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run something beside everything else; it ends with the peer, and what it raises is told."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)
        return task

    def count(self, what: str, **about: Any) -> None:
        """Something was dropped or refused. Told one by one at first, then seldom: a flood must not fill the log."""
        self.counts[what] += 1
        seen = self.counts[what]
        if seen <= LOUD or seen % 1000 == 0:
            self.telemetry.emit("message.refused", level="warning", what=what, seen=seen, **about)

    def overloaded(self, why: str) -> Overloaded:
        """What to answer when this process itself has too much in hand."""
        return Overloaded(why, retry_after=0.1, detail={"begun": False})

    def leaving(self) -> Draining:
        """What to answer when this process goes, and has not begun what is asked of it."""
        return Draining(f"{self.process} is leaving the mesh", detail={"begun": False})

    def changed(self, actor: Actor) -> None:
        """An actor's load, record or state has changed."""
        self.registration.changed(actor)

    def escalated(self, actor: Actor, error: BaseException) -> None:
        """An actor was given up: it is listed no more."""
        self.spawn(self.registration.remove(actor), f"remove {actor.key}")
        for callback in self._escalated:
            callback(actor, error)

    def _spawned(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.telemetry.emit(
                "task.failed", level="error", task=task.get_name(), error=f"{type(error).__name__}: {error}"
            )

    def _changed_there(self, change: Change) -> None:
        if change.kind == "process-down":
            self.exchange.lost(change.process, change.why)

    def _name_lost(self, why: str) -> None:
        """A lease may come back; a name that another start of the process has does not."""
        if self.presence.superseded and not self._stopping:
            self.spawn(self._step_back(), "step back")

    async def _step_back(self) -> None:
        """What comes under the name is the other's: both would do it. What is at work here is finished."""
        if self._subscription is not None:
            await self._subscription.close()
        await self._micro.stop()
        for key, actor in self.actors.items():
            self.spawn(self.unhost(actor), f"stop {key}")

    def _check_staying(self) -> None:
        if self._stopping or self.presence.superseded:
            raise self.leaving()

    def _free_name(self, agent: str) -> str:
        """The process's own name for its first instance of an agent, then with a number."""
        name, number = self.process, 1
        while f"{agent}.{name}" in self.actors:
            number += 1
            name = f"{self.process}-{number}"
        if len(name) > 128:
            raise InvalidName(f"instance name {name!r} is too long: give one")
        return name


async def _awaited(result: Awaitable[None] | None) -> None:
    if result is not None:
        await result
