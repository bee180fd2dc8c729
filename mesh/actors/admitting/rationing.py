"""`Rationing`: rate limits where work comes in: an actor is handed no more calls than the limits for it have left.

It only comes in while there are limits. Nearly always what a call needs is in hand, and it is offered to its actor at once. Else a
slice is drawn first, which takes a round trip: calls that come meanwhile may overtake it. While it is drawn, no more calls wait
for it than may wait in the actor's mailbox.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

from mesh.actors.running.work import Work
from mesh.policy.meter import Reservation
from mesh.protocols.errors import Cancelled, MeshError

if TYPE_CHECKING:
    from mesh.actors.peer import Peer
    from mesh.actors.running.actor import Actor

Refused = Callable[[MeshError], None]


class Names(TypedDict):
    """What a limit may be for."""

    agent: str
    tenant: str
    capability: str


class Rationing:
    """Rations for the work of one process."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._waiting: Counter[str] = Counter()
        self._works: dict[Work, tuple[Refused, asyncio.Task[None]]] = {}

    def enter(self, actor: Actor, work: Work, offer: Callable[[], None], refused: Refused) -> None:
        """Have the work offered once it has its rations. It is either offered, or raised here, or `refused` hears why not.

        Raises:
            RateLimited: nothing is left. Overloaded: too many wait to hear whether something is. Whatever `offer` raises.
        """
        names = Names(
            agent=actor.definition.name, tenant=work.envelope.tenant, capability=work.handler.capability
        )  # fmt: skip
        taken = self._peer.limiter.take_now(**names)
        if taken is not None:
            _offered(work, taken, offer)
            return
        if self._waiting[actor.key] >= actor.mailbox.limit:
            raise self._peer.overloaded(f"{self._waiting[actor.key]} calls wait for a ration of {actor.key} already")
        self._waiting[actor.key] += 1
        self._works[work] = refused, self._peer.spawn(self._later(actor, work, offer, refused, names), "ration")

    def withdraw(self, message_id: str, requester: str) -> bool:
        """The caller cancels what still waits for its ration. False: it does not."""
        found = next(
            (each for each in self._works if each.envelope.id == message_id and each.requester == requester), None
        )
        if found is None:
            return False
        found.cancelled = True
        return True

    def stop(self) -> None:
        """What waits for its ration is not begun any more: whoever asked for it is told."""
        works, self._works = self._works, {}
        for refused, task in works.values():
            task.cancel()
            refused(self._peer.leaving())

    async def _later(self, actor: Actor, work: Work, offer: Callable[[], None], refused: Refused, names: Names) -> None:
        try:
            async with work.deadline.enforce("waiting for a ration"):
                taken = await self._peer.limiter.take(**names)
            if work.cancelled:
                taken.cancel()
                raise Cancelled("the caller cancelled it")
            _offered(work, taken, offer)
        except MeshError as error:
            error.detail["begun"] = False
            refused(error)
        finally:
            self._works.pop(work, None)
            self._waiting[actor.key] -= 1
            if not self._waiting[actor.key]:  # nobody is kept with nothing
                del self._waiting[actor.key]


def _offered(work: Work, taken: Reservation, offer: Callable[[], None]) -> None:
    work.ration = taken
    try:
        offer()
    except MeshError:
        taken.cancel()
        raise
