"""What the instances of one process bid, and why they do not: load out of the actors, constraints out of the call.

Bids come from measured figures (`bidding.py`); an agent's own `@handler.bid` sees the computed bid and may change it,
withhold it (None), or refuse with a reason by raising `Refused`. Whatever else it raises is told and counts as a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, cast

from mesh.actors.admitting.returning import Line
from mesh.actors.declaring.handler import Handler
from mesh.actors.exchanging.inbound import Inbound
from mesh.actors.running.actor import Actor
from mesh.contract_net.bidding import LINE, Load, as_read, bid, places
from mesh.contract_net.second_chances import TOO_LATE, SecondChances
from mesh.contract_net.wants import Wants
from mesh.protocols.acts import AcceptProposal, Bid, CallForProposal, Proposal, Refusal, RefusalReason
from mesh.protocols.commitments import Commitments
from mesh.protocols.constraints import Constraints
from mesh.protocols.envelope import Envelope
from mesh.protocols.errors import MeshError
from mesh.protocols.selection import breach

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

VALID_FOR = 5.0
"""Seconds for which a proposal binds."""
BEST = 2
"""Proposals that one process makes to one call at most: its best."""
ASKED = 64
"""Instances of one process that are considered for one call at most, drawn at random."""

Why = tuple[RefusalReason, str]


class Seat:
    """An instance, and its handler for one capability.

    `key` is `<agent>.<instance>`; `stamps` say what produces its results.
    """

    __slots__ = ("actor", "handler", "key", "stamps")

    def __init__(self, actor: Actor, handler: Handler) -> None:
        definition = actor.definition
        self.actor = actor
        self.handler = handler
        self.key = actor.key
        self.stamps = definition.stamps


class Bids:
    """The bidding of one process."""

    def __init__(self, peer: Peer, book: Commitments) -> None:
        self._peer = peer
        self._book = book
        self._seats: dict[str, dict[str, Seat]] = {}
        self._lines: dict[str, Line] = {}
        self._wants: dict[str, Wants] = {}
        self._chances = SecondChances()

    # -- who bids

    def add(self, actor: Actor) -> list[str]:
        """It bids from now on; answers with the capabilities it offers."""
        seats = [Seat(actor, each) for each in actor.definition.handlers.values() if each.capability]
        for seat in seats:
            self._seats.setdefault(seat.handler.capability, {})[actor.key] = seat
        return [seat.handler.capability for seat in seats]

    def remove(self, actor: Actor) -> list[str]:
        """It bids no more; answers with the capabilities that nobody here offers now."""
        gone = []
        for capability, seats in list(self._seats.items()):
            if seats.pop(actor.key, None) is not None and not seats:
                del self._seats[capability]
                gone.append(capability)
        self._lines.pop(actor.key, None)
        self._wants.pop(actor.key, None)
        return gone

    def seats(self, capability: str) -> list[Seat]:
        """Who is considered for a call to everybody."""
        seats = list(self._seats.get(capability, {}).values())
        return seats if len(seats) <= ASKED else self._peer.ids.random.sample(seats, ASKED)

    def seat(self, key: str, capability: str) -> Seat | None:
        """One instance."""
        return self._seats.get(capability, {}).get(key)

    # -- what they bid

    def load(self, seat: Seat, now: float, *, ending: int = 0, tenant: str = "") -> Load:
        """How the instance stands, for that tenant if one is named; `ending` calls of those running are about to end."""
        actor, handler = seat.actor, seat.handler
        mean = actor.tally.of(handler.name)
        return Load(
            capacity=actor.capacity,
            running=actor.running - ending if actor.running > ending else 0,
            waiting=actor.waiting,
            in_air=self._book.bids.count(seat.key, now),
            kept=self._kept(actor, tenant, now) if tenant and (self._wants or actor.shares) else 0,
            latency=mean.latency,
            success=mean.success,
            price=handler.options.price,
            tier=handler.options.tier,
        )

    def _kept(self, actor: Actor, tenant: str, now: float) -> int:
        """Places that are free and not for this tenant."""
        wants, kept, room = self._wants.get(actor.key), 0, places(actor.capacity)
        if wants is not None and wants.contested(tenant, now):
            kept = wants.kept(tenant, actor.in_hand(), room, lambda each: actor.share(each).weight)
        at_once = actor.share(tenant).at_once if actor.shares else None
        if at_once is None:
            return kept
        hand = actor.in_hand()
        return max(kept, room - sum(hand.values()) - (places(at_once) - hand.get(tenant, 0)))

    def fresh(self, seat: Seat, *, ending: int = 0, tenant: str = "") -> Bid | None:
        """The bid for any call, or one of that tenant, as heartbeats and answers tell it: the agent's own where it has a hook,
        and None where that does not want to bid."""
        computed = self._measured(seat, ending=ending, tenant=tenant)
        if seat.actor.bid_hook(seat.handler) is None:
            return computed
        offer = self._hooked(_unasked(seat.handler), seat, computed)
        return offer if isinstance(offer, Bid) else None

    def _measured(self, seat: Seat, *, ending: int = 0, tenant: str = "") -> Bid:
        return bid(self.load(seat, self._peer.clock.monotonic(), ending=ending, tenant=tenant))

    def standing(self, actor: Actor) -> dict[str, Bid]:
        """The standing bids of one actor, by capability; none while it takes no work, or does not want to bid."""
        if actor.state != "ready":
            return {}
        bids = {}
        if self._book.bids.count(actor.key, self._peer.clock.monotonic()):
            actor.loop.call_soon(self._peer.changed, actor)  # they lapse without a word: it would seem full for ever
        for handler in actor.definition.handlers.values():
            if handler.capability:
                seat = self.seat(actor.key, handler.capability) or Seat(actor, handler)
                offer = self.fresh(seat)
                if offer is not None:
                    bids[handler.capability] = offer
        return bids

    def retry_after(self, seat: Seat, tenant: str, conversation: str) -> float:
        """When to come back, each a little later than the one before; until then a place is kept, if it is the tenant's part."""
        now, load = self._peer.clock.monotonic(), self.load(seat, self._peer.clock.monotonic())
        after = self._lines.setdefault(seat.key, Line(LINE)).place(load.latency / load.capacity, now)
        self._wants.setdefault(seat.key, Wants()).refused(tenant, conversation, now, after)
        return after

    def granted(self, seat: Seat, tenant: str, conversation: str) -> None:
        """It has a place, or a bid that holds one: nothing more is kept for it."""
        wants = self._wants.get(seat.key)
        if wants is not None:
            wants.granted(tenant, conversation)

    # -- answering calls

    def answer(
        self, inbound: Inbound, call: CallForProposal, seats: Iterable[Seat]
    ) -> tuple[tuple[Proposal, ...], tuple[Refusal, ...]]:
        """The best proposals of these, each holding capacity from now on, and the others' refusals."""
        now = self._peer.clock.monotonic()
        held = [each for seat in seats if (each := self._book.bids.offered(call.conversation, seat.key, now))]
        if held:
            return tuple(held), ()
        judged = [(seat, self._offer(call, seat, inbound.envelope)) for seat in seats]
        willing = sorted(
            ((seat, offer) for seat, offer in judged if isinstance(offer, Bid)),
            key=lambda each: (each[1].price, each[1].latency),
        )
        tenant = inbound.envelope.tenant
        refusals = [
            self._refusal(seat, offer, tenant, call.conversation)
            for seat, offer in judged
            if not isinstance(offer, Bid)
        ]
        proposals = [self._propose(inbound, call, seat, offer, now) for seat, offer in willing[:BEST]]
        return tuple(proposals), tuple(refusals[:BEST])

    def unfit(self, act: AcceptProposal, seat: Seat, envelope: Envelope, load: Load) -> Why | None:
        """Why a standing award cannot be taken, capacity apart, which the book has counted.

        No call came before it: what would have been refused then is refused now.
        """
        constraints, left = envelope.constraints, envelope.remaining
        free = (constraints is None or not constraints.demanding) and seat.actor.bid_hook(seat.handler) is None
        if (
            free
            and not self._peer.policy.switches
            and seat.actor.state == "ready"
            and (left is None or load.expected <= left)
        ):
            return None
        call = CallForProposal(
            conversation=act.conversation,
            capability=act.capability,
            window=0.0,
            effect=act.effect,
            input=act.input,
            constraints=constraints or Constraints(),
        )
        offer = self._offer(call, seat, envelope, room=True)
        return None if isinstance(offer, Bid) else offer

    def _offer(self, call: CallForProposal, seat: Seat, envelope: Envelope, *, room: bool = False) -> Bid | Why:
        if self._peer.policy.switches and (killed := self._killed(seat, envelope.tenant)) is not None:
            return killed
        if seat.actor.state != "ready":
            return "draining", f"{seat.key} is {seat.actor.state}"
        if seat.actor.definition.name in envelope.chain and not room:
            return "declined", "it already waits in this chain of calls"
        offer = self._hooked(call, seat, self._measured(seat, tenant=envelope.tenant))
        if not isinstance(offer, Bid):
            return offer
        remaining = inf if envelope.remaining is None else envelope.remaining
        constraints, labels = envelope.constraints or call.constraints, dict(seat.actor.labels)
        wanted = _with_room(offer) if room else offer
        why = breach(wanted, labels, constraints, remaining)
        if why.startswith(TOO_LATE) and self._has_a_chance(call, seat, offer):
            why = breach(wanted, labels, constraints, inf)
        if not why:
            return offer
        reason, _, words = why.partition(": ")
        return cast(RefusalReason, reason), words

    def _has_a_chance(self, call: CallForProposal, seat: Seat, offer: Bid) -> bool:
        """Whether an instance with nothing to do tries it, though by its figures it would be too late."""
        idle = not (seat.actor.running or seat.actor.waiting)
        if "at_most_once" in (call.effect, seat.handler.options.effect) or not idle:
            return False
        who, now = f"{seat.key}/{call.capability}", self._peer.clock.monotonic()
        if not self._chances.due(who, offer.latency, now):
            return False
        self._chances.take(who, now)
        return True

    def _killed(self, seat: Seat, tenant: str) -> Why | None:
        definition = seat.actor.definition
        switch = self._peer.policy.killed(
            agent=definition.name, version=definition.version, instance=seat.actor.instance,
            capability=seat.handler.capability, tenant=tenant,
        )  # fmt: skip
        return None if switch is None else ("killed", switch.error().message)

    def _hooked(self, call: CallForProposal, seat: Seat, computed: Bid) -> Bid | Why:
        hook = seat.actor.bid_hook(seat.handler)
        if hook is None:
            return computed
        try:
            offer = hook(call, computed)
        except MeshError as error:
            return "declined", error.message
        except Exception as error:  # noqa: BLE001 - it is the agent's code, and its process bids for others, too
            self._peer.count("bid-hook-failed", agent=seat.key, error=f"{type(error).__name__}: {error}")
            return "declined", f"its bid failed with {type(error).__name__}"
        if not isinstance(offer, Bid):
            return "declined", "it does not want to bid for this"
        if (read := as_read(offer)) is None:
            self._peer.count("bid-hook-failed", agent=seat.key, error=f"a bid that makes no sense: {offer}")
            return "declined", "its bid makes no sense"
        return read

    def _propose(self, inbound: Inbound, call: CallForProposal, seat: Seat, offer: Bid, now: float) -> Proposal:
        actor, left = seat.actor, inbound.envelope.remaining
        proposal = Proposal(
            id=f"{self._peer.process}.{self._peer.ids.token()}",
            agent=actor.definition.name,
            instance=actor.instance,
            process=self._peer.process,
            version=actor.definition.version,
            bid=offer,
            valid_for=VALID_FOR if left is None else min(VALID_FOR, left),
            labels=dict(actor.labels),
            effect=seat.handler.effect,
        )
        self._book.bids.offer(proposal, seat.key, call.conversation, inbound.sender, now)
        self.granted(seat, inbound.envelope.tenant, call.conversation)
        return proposal

    def _refusal(self, seat: Seat, why: Why, tenant: str, conversation: str) -> Refusal:
        reason, message = why
        return Refusal(
            agent=seat.actor.definition.name,
            instance=seat.actor.instance,
            reason=reason,
            message=message,
            retry_after=self.retry_after(seat, tenant, conversation) if reason == "capacity" else None,
            bid=self.fresh(seat, tenant=tenant),
        )


def _unasked(handler: Handler) -> CallForProposal:
    """What a bid hook sees when nobody has called: the call that a standing bid would answer."""
    return CallForProposal(conversation="", capability=handler.capability, window=0.0, effect=handler.effect)


def _with_room(offer: Bid) -> Bid:
    return Bid(price=offer.price, latency=offer.latency, success=offer.success, capacity=1)
