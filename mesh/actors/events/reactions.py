"""`Reactions`: the events that this process's actors hear, one subscription for each filter however many actors there are.

Live reactions go straight to the mailboxes. Durable ones share a consumer of the event stream with the other processes of
the agent: an event is acknowledged when its handler has succeeded, comes again with a growing pause when it has not, and
is given up after `MOST` deliveries: it becomes a dead letter (`burial`). So does one whose process died of it each time.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from mesh.actors.declaring.handler import Reaction
from mesh.actors.events.burial import GivenUp
from mesh.actors.events.events import Event
from mesh.actors.events.hearing import Ear
from mesh.actors.events.in_hand import InHand
from mesh.actors.events.notice import Notice
from mesh.actors.events.typed_reading import TypedReading
from mesh.actors.running.work import NOBODY, Nobody, Work
from mesh.protocols.constraints import Usage
from mesh.protocols.dead_letters import MEANT_FOR
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import AgentLost, Draining, Killed, MeshError, Overloaded
from mesh.protocols.naming.events import Event as About
from mesh.protocols.ports import Consumer, Delivery, Stored, Subscription
from mesh.resilience.deadline import Deadline
from mesh.resilience.retry import not_begun

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.actors.running.actor import Actor

MOST = 5
"""Deliveries of one event to one durable reaction."""
LOST = 10
"""Deliveries after which an event is given up untried: nobody has settled it, so its processes died, or were lost."""
COMES_AGAIN_AFTER = 30.0
"""Seconds at least, until an event comes again that nobody has settled."""
SIGN = COMES_AGAIN_AFTER / 3
"""Seconds between two signs that an event is still in hand."""
PAUSE = 1.0
LONGEST_PAUSE = 30.0
POLL = 5.0
IN_HAND = 32
"""Events of one durable reaction that one process works on at once."""


Hearers: TypeAlias = "list[tuple[Actor, Reaction]]"


class Place(NamedTuple):
    """What a subscription is for: everyone's live filter, an agent's shared one, or an agent's durable reaction."""

    subject: str
    queue: str
    durable: str


class Reactions:
    """Who hears what in this process."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._listening: dict[Place, Hearers] = {}
        self._ears: dict[Place, Ear] = {}
        self._subscriptions: dict[Place, Subscription] = {}
        self._pulls: dict[Place, asyncio.Task[None]] = {}
        self._changing = asyncio.Lock()

    async def add(self, actor: Actor) -> None:
        """Hear for a new actor. When this returns, it does; where it raises, `remove` it."""
        for reaction in actor.definition.reactions:
            place = self._place(actor, reaction)
            async with self._changing:
                self._listening.setdefault(place, []).append((actor, reaction))
                if place in self._subscriptions or place in self._pulls:
                    self._choose_reading(place)
                else:
                    await self._open(place, reaction)

    async def remove(self, actor: Actor) -> None:
        """Hear no more for an actor; a subscription that nobody needs is closed."""
        if not actor.definition.reactions:
            return
        async with self._changing:
            ending = [self._without(actor, place) for place in tuple(self._listening)]
        await asyncio.gather(*(_ended(*each) for each in ending if each is not None))

    def _without(self, actor: Actor, place: Place) -> tuple[Subscription | None, asyncio.Task[None] | None] | None:
        """What is to be ended, if nobody is left there."""
        hearers = self._listening[place]
        hearers[:] = [each for each in hearers if each[0] is not actor]
        if hearers:
            self._choose_reading(place)
            return None
        del self._listening[place]
        self._ears.pop(place, None)
        return self._subscriptions.pop(place, None), self._pulls.pop(place, None)

    def _place(self, actor: Actor, reaction: Reaction) -> Place:
        mark, agent = reaction.mark, actor.definition.name
        subject = self._peer.subjects.event_filter(agent=mark.agent, event_type=mark.event_type)
        if mark.durable:
            return Place(subject, "", f"{agent}-{reaction.handler.name}")
        return Place(subject, f"{agent}-{reaction.handler.name}" if mark.shared else "", "")

    async def _open(self, place: Place, reaction: Reaction) -> None:
        if place.durable:
            await self._peer.events.ensure()
            consumer = await self._peer.store.consumer(
                self._peer.events.stream,
                place.durable,
                (place.subject,),
                ack_wait=max(COMES_AGAIN_AFTER, 2 * reaction.handler.timeout),
                max_deliver=-1,  # it is us who give up, and say so
            )
            self._pulls[place] = self._peer.spawn(self._pull(place, consumer), f"events {place.durable}")
        else:
            mark = reaction.mark
            heard = self._heard_by_one if place.queue else self._heard_by_all
            ear = self._ears[place] = Ear(partial(heard, self._listening[place]))
            self._choose_reading(place)
            self._subscriptions[place] = await self._peer.events.listen(
                ear, mark.event_type, agent=mark.agent, queue=place.queue
            )

    def _choose_reading(self, place: Place) -> None:
        """A single hearer's contract reads what comes; several need a value each, so that none sees what another does to it."""
        ear, hearers = self._ears.get(place), self._listening[place]
        if ear is not None:
            reading = TypedReading.of(hearers[0][1].handler) if len(hearers) == 1 else None
            if reading is None:
                ear.read()
            else:
                ear.read(reading.one, reading.many)

    # -- live

    def _heard_by_all(self, hearers: Hearers, about: About, envelopes: list[Envelope]) -> None:
        clock = self._peer.clock
        for actor, reaction in hearers:
            handler, now = reaction.handler, clock.monotonic()
            deadline = Deadline(clock, now + reaction.mark.timeout)
            notices = [Notice(each, handler, NOBODY, deadline, each.sender.process, now) for each in envelopes]
            if not actor.hear(notices):
                self._offer_each(actor, notices)

    def _heard_by_one(self, hearers: Hearers, about: About, envelopes: list[Envelope]) -> None:
        for envelope in envelopes:
            if hearers:
                self._heard_by_all([_idlest(hearers)], about, [envelope])

    def _offer_each(self, actor: Actor, notices: list[Notice]) -> None:
        for notice in notices:
            try:
                actor.offer(notice)
            except MeshError as error:
                name = notice.envelope.name
                self._peer.count("event-dropped", agent=actor.definition.name, type=name, error=error.code)

    def _work(self, reaction: Reaction, envelope: Envelope, respond: Any) -> Work:
        deadline = Deadline.after(self._peer.clock, reaction.handler.timeout)
        return Work(envelope, reaction.handler, respond, deadline, envelope.sender.process)

    # -- durable

    async def _pull(self, place: Place, consumer: Consumer) -> None:
        in_hand = InHand(IN_HAND)
        try:
            while True:
                await in_hand.room()
                delivery = await self._next(place, consumer)
                if delivery is not None:
                    await in_hand.take(delivery.attempts, partial(self._begin, place, delivery))
        finally:
            await consumer.close()

    async def _next(self, place: Place, consumer: Consumer) -> Delivery | None:
        try:
            return await consumer.next(POLL)
        except MeshError as error:
            self._peer.count("events-unreachable", durable=place.durable, error=error.code)
            await self._peer.clock.sleep(1.0)
            return None

    def _begin(self, place: Place, delivery: Delivery) -> asyncio.Task[None]:
        return self._peer.spawn(self._deliver(place, delivery), f"event {place.durable}")

    async def _deliver(self, place: Place, delivery: Delivery) -> None:
        try:
            if _meant_for_others(delivery.message, place):
                return await delivery.ack()
            event = await self._peer.events.read(delivery.message)
            if event is None:
                await delivery.give_up()
            elif place in self._listening:
                await self._hand_over(place, delivery, event)
        except MeshError as error:
            self._peer.count("event-unsettled", durable=place.durable, error=error.code)

    async def _hand_over(self, place: Place, delivery: Delivery, event: Event) -> None:
        actor, reaction = _idlest(self._listening[place])
        if reaction.mark.since is not None and event.time < reaction.mark.since:
            await delivery.ack()
            return
        if delivery.attempts > LOST:
            lost = AgentLost(f"whoever took it in hand was lost, {delivery.attempts - 1} times")
            await self._give_up(place, delivery, actor, reaction, event, lost)
            return
        try:
            failure = await self._handled(actor, reaction, event, delivery)
        except MeshError as error:
            await delivery.retry(error.retry_after or PAUSE)
            return
        if failure is None:
            await delivery.ack()
        elif delivery.attempts >= MOST:
            await self._give_up(place, delivery, actor, reaction, event, failure)
        else:
            await delivery.retry(min(LONGEST_PAUSE, PAUSE * 2 ** (delivery.attempts - 1)))

    async def _handled(self, actor: Actor, reaction: Reaction, event: Event, delivery: Delivery) -> MeshError | None:
        """How it ended. What waited in the mailbox and was not begun waits once more, and that counts as no failed attempt.

        Raises:
            Draining · AgentLost: the actor has gone; somebody else may do it.
        """
        while True:
            settled = Settled(asyncio.get_running_loop())
            await self._offer(actor, self._work(reaction, event.envelope, settled), delivery)
            while not (await asyncio.wait((settled.outcome,), timeout=SIGN))[0]:
                await self._hold(delivery, 0.0)
            failure = settled.outcome.result()
            unbegun, gone = failure is not None and not_begun(failure), actor.supervision.state in ("stopped", "failed")
            if isinstance(failure, Draining | AgentLost) and (unbegun or gone):
                raise failure
            if failure is None or not unbegun:
                return failure
            await self._hold(delivery, failure.retry_after or PAUSE)

    async def _offer(self, actor: Actor, work: Work, delivery: Delivery) -> None:
        """Into the mailbox; while that is full, or killed, the delivery is held, and counts as no failed attempt."""
        while True:
            try:
                actor.offer(work)
            except (Overloaded, Killed) as error:
                await self._hold(delivery, error.retry_after or PAUSE)
                work.deadline = Deadline.after(self._peer.clock, work.handler.timeout)
            else:
                return

    async def _hold(self, delivery: Delivery, seconds: float) -> None:
        """Keep it for a moment, and say so: nobody else is to be given it meanwhile, or it would be done twice."""
        try:
            await delivery.working()
        except MeshError as error:  # the server is away, and gives it to nobody
            self._peer.count("event-unheld", error=error.code)
        await self._peer.clock.sleep(min(seconds, SIGN))

    async def _give_up(
        self, place: Place, delivery: Delivery, actor: Actor, reaction: Reaction, event: Event, failure: MeshError
    ) -> None:
        """Keep it as a dead letter, and only then let go of it; where it cannot be kept it comes again."""
        given_up = GivenUp(
            event=delivery.message,
            stream=self._peer.events.stream,
            tenant=event.tenant,
            agent=actor.definition.name,
            handler=reaction.handler.name,
            reason=failure.fault(actor.key),
            attempts=delivery.attempts,
            stamps=actor.definition.stamps,
        )
        try:
            await self._peer.bury(given_up)
        except MeshError as error:
            self._peer.count("event-unburied", durable=place.durable, error=error.code)
            await delivery.retry(LONGEST_PAUSE)
            return
        self._tell_given_up(place, event, failure, delivery.attempts)
        await delivery.give_up()

    def _tell_given_up(self, place: Place, event: Event, failure: MeshError, attempts: int) -> None:
        self._peer.telemetry.emit(
            "event.given_up",
            level="error",
            durable=place.durable,
            type=event.type,
            sequence=event.sequence,
            attempts=attempts,
            error=failure.code,
            message=failure.message,
            correlation=event.envelope.correlation,
        )


async def _ended(subscription: Subscription | None, pull: asyncio.Task[None] | None) -> None:
    if subscription is not None:
        await subscription.close()
    if pull is not None:
        pull.cancel()
        await asyncio.gather(pull, return_exceptions=True)


def _idlest(hearers: Hearers) -> tuple[Actor, Reaction]:
    return min(hearers, key=lambda each: (each[0].state != "ready", each[0].waiting + each[0].running))


class Settled(Nobody):
    """The responder of a durable event: it only remembers how it ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.outcome: asyncio.Future[MeshError | None] = loop.create_future()

    def result(self, value: msgspec.Raw, usage: Usage, degraded: str = "") -> None:
        """It is done."""
        if not self.outcome.done():
            self.outcome.set_result(None)

    def failure(self, error: MeshError, usage: Usage) -> None:
        """It is not."""
        if not self.outcome.done():
            self.outcome.set_result(error)


def _meant_for_others(stored: Stored, place: Place) -> bool:
    """A dead letter that was redriven goes to the handler that failed, and to nobody else again."""
    meant = (stored.headers or {}).get(MEANT_FOR)
    return meant is not None and meant != place.durable
