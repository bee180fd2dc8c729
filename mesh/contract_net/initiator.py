"""The initiator: gives work to whoever bids best, and sees it to an end.

One for each peer. It keeps what outlives a single call: our own awards among the standing bids, who kept its commitments,
and which negotiations wait for whom, so that a death is acted on at once.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.actors.asking.subcontract import Subcontract
from mesh.contract_net.calls import Call, CallLike, Contracted, as_won, call_of, subcontracted
from mesh.contract_net.declared import Declared
from mesh.contract_net.hedged import HedgedCall
from mesh.contract_net.items import OnItem
from mesh.contract_net.learning import Learning
from mesh.contract_net.ledger import AwardLedger
from mesh.contract_net.mail import Addresses
from mesh.contract_net.market import Market
from mesh.contract_net.negotiation import Negotiation, OnProgress
from mesh.contract_net.quiet import QuietAward
from mesh.contract_net.quiet_call import QuietCall
from mesh.contract_net.rejections import Rejections
from mesh.contract_net.sampling import Sample
from mesh.contract_net.second_chances import SecondChances
from mesh.contract_net.track_record import bidder
from mesh.contract_net.trials import Trials
from mesh.contract_net.watching import Watching
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import Mode
from mesh.protocols.auction import Auction
from mesh.protocols.auction_messages import Terms
from mesh.protocols.awards import AwardRecord
from mesh.protocols.conduct import Forgetting
from mesh.protocols.selection import Chooser, SelectionPolicy, choose
from mesh.registry.listing import Change, Listing
from mesh.resilience.deadline import Deadline

if TYPE_CHECKING:
    from mesh.actors.peer import Peer

LINGERS = 5.0
"""Seconds for which late proposals are still rejected after a call has ended."""
LINGERING = 1000
"""Ended negotiations that are still listened to, at most."""


class Initiator:
    """Holds auctions. `policy` weighs the bids, `chooser` picks among them; unless `quietly`, each award has an auction made.

    What it learns of bidders counts half after as many calls, or as long, as `forgetting` says.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        policy: SelectionPolicy | None = None,
        chooser: Chooser = choose,
        quietly: bool = True,
        forgetting: Forgetting | None = None,
    ) -> None:
        self.peer = peer
        self.policy = policy or SelectionPolicy()
        self.learning = Learning(peer.directory.hearsay, forgetting)
        self.declared = Declared(peer.directory)
        self.market = Market(peer, self.learning)
        self.trials = Trials(peer, self.market)
        self.quiet: set[QuietAward] = set()
        self.addresses = Addresses(peer)
        self.rejections = Rejections(peer, self.addresses)
        self.watching = Watching()
        self._chooser = chooser
        self._chances = SecondChances()
        self._quietly = quietly and chooser is choose
        self._lingering: OrderedDict[Negotiation, None] = OrderedDict()

    def start(self) -> None:
        """Serve the handlers' and clients' calls (`Peer.call`), hear of deaths and reconnects, tell what is measured."""
        self.peer.subcontract = self.subcontract
        self.peer.presence.testify(self.learning.record)
        self.peer.quality.on_wanting = self.learning.record.revoked
        self.peer.directory.on_change(self._changed)
        self.peer.bus.on_reconnect(self._reconnected)

    # -- calling

    async def contract(
        self,
        call: Call | CallLike,
        *,
        ledger: AwardLedger | None = None,
        on_progress: OnProgress | None = None,
        on_item: OnItem | None = None,
        policy: SelectionPolicy | None = None,
        resume: AwardRecord | None = None,
        hands_over: Callable[[], bool] = lambda: False,
    ) -> Contracted:
        """Give the work to the best bidder, and wait for what it delivers. Again: another auction, the work done again.

        `ledger` is told of each award before that leaves. With `resume`, a journaled award is taken up instead of holding
        a new auction: its winner is sent a copy, and answers with what it has. Cancelling the task cancels the work, unless
        `hands_over` says then that somebody else goes on with it.

        Raises:
            NoBids: nobody acceptable, at once when nobody listens; `detail` carries the `refusals`.
            AgentLost: too many winners were lost. InDoubt: a winner was lost that may have done what may be done once.
            DeadlineExceeded: the call's deadline passed. CallCycle: everybody who could waits in this chain already.
            Fenced: a newer owner of the job is at work. Or whatever typed error the winner's work ended with.
        """
        conversation = self.peer.ids.uuid()
        call = call_of(call)
        if resume is not None and not call.effect:
            call = msgspec.structs.replace(call, effect=resume.effect)  # nobody may be there now who could declare it
        await self._connected(call.deadline, call.capability)
        call = self.declared.complete(call, conversation)
        policy = policy or self.policy
        if call.rounds is not None:
            policy = msgspec.structs.replace(policy, rounds=call.rounds)
        heard: dict[str, Any] = {"hands_over": hands_over, "on_progress": on_progress, "on_item": on_item}
        if resume is None and self.declared.hedged(call):
            contracted = await HedgedCall(self, call, conversation, policy, True, ledger, heard).run()
        else:
            contracted = await self.give(call, conversation, policy, resume, ledger=ledger, **heard)
        self.peer.quality.fits(contracted.output)
        return contracted

    async def subcontract(self, wanted: Subcontract) -> Contracted:
        """`contract` for the handlers and clients of this peer."""
        conversation = self.peer.ids.uuid()
        await self._connected(wanted.deadline, wanted.capability)
        effect = wanted.effect or self.declared.effect(wanted.capability)
        keyed = self.declared.keyed(wanted.capability, effect)
        call = subcontracted(wanted, effect, conversation, keyed=keyed)
        hedge = self.declared.hedged(call) if wanted.hedge is None else wanted.hedge
        if hedge and (wanted.effect or self.declared.known(wanted.capability)):
            return await HedgedCall(self, call, conversation, self.policy, hedge).run()
        return await self.give(call, conversation, self.policy)

    async def _connected(self, deadline: Deadline, capability: str) -> None:
        if not self.peer.bus.connected:
            await self.peer.exchange.connected(deadline, capability)

    def give(
        self,
        call: Call,
        conversation: str,
        policy: SelectionPolicy,
        resume: AwardRecord | None = None,
        *,
        ledger: AwardLedger | None = None,
        avoid: str = "",
        **heard: Any,
    ) -> Coroutine[Any, Any, Contracted]:
        """Quietly if it can be, by an auction if not. `heard` is for the negotiation: what the caller wants to hear of it.
        With `avoid`, an instance's key, an auction in which that one comes last."""
        call.deadline.check(call.capability)
        if self.peer.policy.switches:
            self.peer.policy.check(capability=call.capability, tenant=call.tenant)
        way = self._way(call, conversation, policy, resume, ledger, avoid, heard)
        if not avoid:  # the second award of a hedge is no other call; and what was refused just now earns nothing
            self.peer.budgets.of(call.capability).called()
        return way

    def _way(
        self,
        call: Call,
        conversation: str,
        policy: SelectionPolicy,
        resume: AwardRecord | None,
        ledger: AwardLedger | None,
        avoid: str,
        heard: dict[str, Any],
    ) -> Coroutine[Any, Any, Contracted]:
        """Whoever sees this call to its end, not begun yet. Raises what refuses it at once, such as `Killed`."""
        if call.effect == "at_most_once" and policy.explore:
            policy = msgspec.structs.replace(policy, explore=0.0)  # what a newcomer breaks here, a person has to mend
        mode: Mode = "directed" if call.mode == "standing" and self.market.crowded(call.capability) else call.mode

        def take_up(first: int) -> Negotiation:
            auction = self._auction(call.terms(conversation, mode), policy, first)
            return Negotiation(self, call, auction, ledger=ledger, **heard)

        if avoid:
            negotiation = take_up(1)
            negotiation.auction.rounds.avoid.add(avoid)
            return negotiation.run()
        if resume is None and (trial := self.trials.sample(call, policy)) is not None:
            whatever = msgspec.structs.replace(policy, floor=0.0)  # it is known to have failed
            won = as_won(call, trial.effect)
            return QuietAward(self, won, whatever, trial, conversation, take_up).run(ledger)
        if resume is None and self._quietly and self.declared.alike(call):
            if mode == "standing" and (sample := self._pick(call, policy)) is not None:
                return QuietAward(self, call, policy, sample, conversation, take_up).run(ledger)
            if mode == "directed" and (asked := self._whom(call, policy))[0]:
                return QuietCall(self, call, policy, asked, conversation, take_up).run(ledger)
        return take_up(1).run(resume)

    def _pick(self, call: Call, policy: SelectionPolicy) -> Sample | None:
        return self.market.pick(call.capability, call.constraints, call.deadline.at, policy, chain=call.chain)

    def _whom(self, call: Call, policy: SelectionPolicy) -> tuple[dict[str, list[Listing]], int]:
        return self.market.directed(call.capability, call.constraints, policy, chain=call.chain)

    def _auction(self, terms: Terms, policy: SelectionPolicy, first: int) -> Auction:
        """An auction whose next award has the number `first`."""
        numbers = itertools.count(first)
        return Auction(
            terms,
            policy,
            self.peer.ids.random,
            new_id=lambda: f"{terms.conversation}.{next(numbers)}",
            wall=self.peer.clock.now,
            chooser=self._chances.chooser(self._chooser, terms, self.peer.clock.monotonic),
            again=self.peer.budgets.of(terms.capability).spend,
        )

    # -- what negotiations tell

    def awarded(self, call: Call, record: AwardRecord) -> None:
        """An award leaves."""
        self.peer.telemetry.emit(
            "award.sent",
            award=record.award,
            capability=record.capability,
            mode=record.mode,
            winner=record.winner,
            bids=len(record.candidates),
            reason=record.reason,
            job=call.job,
            step=call.step,
            correlation=call.correlation,
        )

    def settled(self, settle: m.Settle, capability: str, sent_at: float | None) -> None:
        """A commitment was kept or broken; it was made at `sent_at`, if anybody knows."""
        who, now, ending = bidder(settle.candidate), self.peer.clock.monotonic(), settle.ending
        if not settle.kept:
            self.learning.broken(who, capability, now)
        elif isinstance(ending, m.Succeeded):
            seconds = None if sent_at is None else now - sent_at
            self.learning.record.delivered(who, capability, settle.candidate.bid, now, seconds, ending.usage.money)
        elif ending is not None:
            self.learning.record.failed(who, capability, settle.candidate.bid, now)

    def late(self, negotiation: Negotiation, result: m.Succeeded | m.Faulted) -> None:
        """A winner given up before has delivered after all: told, and applied nowhere."""
        self.peer.telemetry.emit(
            "award.evidence",
            level="warning",
            award=result.award,
            by=result.by,
            succeeded=isinstance(result, m.Succeeded),
            capability=negotiation.call.capability,
            job=negotiation.call.job,
            correlation=negotiation.call.correlation,
        )

    def ended(self, negotiation: Negotiation) -> None:
        """It is over. It is listened to a little longer: late proposals are rejected, late results are evidence."""
        self.watching.forget(negotiation)
        if not negotiation.auction.given_up and negotiation.auction.heard_out:
            negotiation.close()
            return
        self._lingering[negotiation] = None
        if len(self._lingering) > LINGERING:
            self._lingering.popitem(last=False)[0].close()
        seconds = LINGERS
        if negotiation.auction.given_up:
            seconds += max(0.0, negotiation.call.deadline.remaining())
        negotiation.expire_after(seconds)

    def forget(self, negotiation: Negotiation) -> None:
        """Listen to it no more."""
        self._lingering.pop(negotiation, None)
        negotiation.close()

    # -- what happens around

    def _changed(self, change: Change) -> None:
        if change.kind in ("process-down", "instance-down"):
            for quiet in [each for each in self.quiet if each.responder == change.process]:
                quiet.event(m.Suspected(change.process))
            for negotiation in self.watching.on(change.process):
                negotiation.event(m.Suspected(change.process))

    def _reconnected(self) -> None:
        for quiet in list(self.quiet):
            quiet.event(m.Suspected())
        for negotiation in self.watching.everybody():
            negotiation.event(m.Suspected())
