"""`Line`: the answers to one message of a negotiation, turned into events of its auction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mesh.actors.exchanging.inbound import Inbound
from mesh.contract_net.composing import content_of
from mesh.protocols import auction_messages as m
from mesh.protocols.acts import (
    Bid,
    Confirm,
    Failure,
    InformDone,
    InformResult,
    Misunderstood,
    Proposal,
    Propose,
    Refusal,
    Refuse,
)
from mesh.protocols.awards import Candidate
from mesh.protocols.constraints import Usage
from mesh.protocols.envelope import Envelope, Stamps
from mesh.protocols.errors import Fault, MeshError, NoResponders, NotUnderstood
from mesh.protocols.learned import Learned


class Hears(Protocol):
    """A negotiation, as its lines see it."""

    def event(self, event: m.Event) -> None:
        """Something happened."""

    def part(self, award: str, by: str, envelope: Envelope) -> None:
        """An item or progress came."""

    def whole(self, award: str, envelope: Envelope) -> bool:
        """Whether every item came of which this result is the end. If not, the negotiation breaks."""

    def learn(self, process: str, agent: str, instance: str, bid: Bid | None) -> None:
        """A fresh bid came along."""

    def learned(self, proposal: Proposal) -> Learned | None:
        """What is believed of whoever proposes this, beyond the bid."""

    def judged(self, candidate: Candidate) -> Candidate:
        """The candidate, with what speaks against it whatever it bids."""

    def fetch(self, answer: Inbound, then: Callable[[Inbound], None], unread: Callable[[Inbound], None]) -> None:
        """The payload is elsewhere: get it, then go on; `unread` if it cannot be had."""

    def broken(self, error: Exception) -> None:
        """The negotiation cannot go on."""

    def leave(self, error: BaseException) -> None:
        """Nobody waits for its end any more."""


class Line:
    """One message sent. It hears `responder` only (`_`: anyone); `token` is set when it is expected."""

    def __init__(self, hears: Hears, responder: str) -> None:
        self.responder = responder
        self.reply = ""
        self.token = ""
        self.hears = hears

    def answered(self, envelope: Envelope) -> None:
        """An answer came from the one who was asked."""
        self.heard(Inbound(envelope=envelope, sender=self.responder, token=self.token))

    def heard(self, answer: Inbound) -> None:
        """An answer came: a malformed one is as none."""
        if answer.envelope.ref is not None:
            self.hears.fetch(answer, self.heard, self.unread)
            return
        try:
            self.understand(answer)
        except MeshError as error:
            self.hears.event(self.misfit(answer, error))

    def understand(self, answer: Inbound) -> None:
        """Turn it into an event."""
        raise NotImplementedError

    def misfit(self, answer: Inbound, error: MeshError) -> m.Event:
        """What a malformed answer amounts to."""
        raise NotImplementedError

    def unread(self, answer: Inbound) -> None:
        """There is an answer, and its payload cannot be fetched."""
        raise NotImplementedError

    def failed(self, error: MeshError) -> None:
        """There will be no answer."""
        raise NotImplementedError


class CallLine(Line):
    """A call for proposals: to everybody (`key` empty), or to one instance."""

    def __init__(self, hears: Hears, responder: str, key: str = "") -> None:
        super().__init__(hears, responder)
        self.key = key

    def understand(self, answer: Inbound) -> None:
        """A proposal, a refusal, or something that amounts to one."""
        envelope = answer.envelope
        if envelope.kind != "act":
            self.hears.event(m.NobodyListens(self.key or answer.sender))
            return
        content = content_of(envelope)
        if isinstance(content, Propose):
            candidates = tuple(
                self.hears.judged(Candidate.of(each, self.hears.learned(each)))
                for each in content.proposals
                if each.counts(answer.sender)
            )
            for each in candidates:
                self.hears.learn(each.process, each.agent, each.instance, each.bid)
            self._refused(answer.sender, content.refusals, candidates)
        elif isinstance(content, Refuse):
            self._refused(answer.sender, content.refusals, ())
        elif isinstance(content, Misunderstood):
            self.hears.event(m.NobodyListens(self.key or answer.sender))
        else:
            raise NotUnderstood(f"{envelope.name} does not answer a call")

    def _refused(self, by: str, refusals: tuple[Refusal, ...], candidates: tuple[Candidate, ...]) -> None:
        for each in refusals:
            self.hears.learn(by, each.agent, each.instance, each.bid)
        self.hears.event(m.Proposed(by, candidates, refusals))

    def misfit(self, answer: Inbound, error: MeshError) -> m.Event:
        """It will not do the work."""
        return m.NobodyListens(self.key or answer.sender)

    def unread(self, answer: Inbound) -> None:
        """Whatever it bids, it does not count: there may be others."""
        self.hears.event(m.NobodyListens(self.key or answer.sender))

    def failed(self, error: MeshError) -> None:
        """Nobody listens there, or its answer cannot be read; or we are leaving."""
        if isinstance(error, NoResponders) or error.error_class == "semantic":
            self.hears.event(m.NobodyListens(self.key))
        else:
            self.hears.broken(error)


class AwardLine(Line):
    """One copy of an award. Its answers are understood in the order in which they came: what follows an item whose payload is
    being fetched waits for that."""

    def __init__(self, hears: Hears, winner: Candidate, award: str, attempt: int) -> None:
        super().__init__(hears, winner.process)
        self.winner = winner
        self.award = award
        self.attempt = attempt
        self._behind: list[Inbound] | None = None

    def heard(self, answer: Inbound) -> None:
        """As `Line.heard`, in its turn."""
        if self._behind is not None:
            self._behind.append(answer)
        elif answer.envelope.ref is not None:
            self._behind = []
            self.hears.fetch(answer, self._fetched, self._unfetched)
        else:
            super().heard(answer)

    def _fetched(self, answer: Inbound) -> None:
        try:
            super().heard(answer)
        finally:
            self._go_on()

    def _unfetched(self, answer: Inbound) -> None:
        self.unread(answer)
        self._go_on()

    def _go_on(self) -> None:
        behind, self._behind = self._behind or (), None
        for each in behind:
            self.heard(each)

    def understand(self, answer: Inbound) -> None:
        """A decline, a confirm, a part, or the end."""
        envelope, by = answer.envelope, answer.sender
        if envelope.kind in ("item", "progress"):
            self.hears.part(self.award, by, envelope)
        elif envelope.kind != "act":
            self.hears.event(self._refused(by, envelope.fault))
        else:
            self._act(by, envelope)

    def _act(self, by: str, envelope: Envelope) -> None:
        content = content_of(envelope)
        if not isinstance(content, Refuse | Confirm | InformResult | InformDone | Failure | Misunderstood):
            raise NotUnderstood(f"{envelope.name} does not answer an award")
        bid = (
            content.refusals[0].bid
            if isinstance(content, Refuse) and content.refusals
            else getattr(content, "bid", None)
        )
        self.hears.learn(by, self.winner.agent, self.winner.instance, bid)
        if isinstance(content, InformResult) and not self.hears.whole(self.award, envelope):
            return
        self.hears.event(self._event(content, by, envelope))

    def _event(
        self,
        content: Refuse | Confirm | InformResult | InformDone | Failure | Misunderstood,
        by: str,
        envelope: Envelope,
    ) -> m.Event:
        usage, stamps = envelope.usage or Usage(), envelope.stamps or Stamps()
        if isinstance(content, Confirm):
            return m.Confirmed(self.award, by, content.state == "running")
        if isinstance(content, InformResult):
            return m.Succeeded(self.award, by, content.content, usage, stamps, envelope.degraded)
        if isinstance(content, InformDone):
            return m.Succeeded(self.award, by, usage=usage, stamps=stamps, degraded=envelope.degraded)
        if isinstance(content, Refuse):
            refusal = content.refusals[0] if content.refusals else self._refusal("declined", "")
            return m.Declined(self.award, by, refusal)
        words = content.reason if isinstance(content, Misunderstood) else "it failed and did not say how"
        fault = envelope.fault or NotUnderstood(words).fault(f"{self.winner.agent}.{self.winner.instance}")
        return m.Faulted(self.award, by, fault, usage, stamps)

    def _refused(self, by: str, fault: Fault | None) -> m.Event:
        """The process answered instead of the instance: it is not there, or the message was not understood."""
        if fault is None or fault.detail.get("begun") is not False:
            return self._faulted(by, fault or NotUnderstood("an answer that is no act").fault(by))
        if fault.code == "unknown-agent" and self.attempt > 1:
            return m.Vanished(self.award, self.attempt)
        if fault.error_class == "transient" or fault.code == "unknown-agent":
            return m.Declined(self.award, by, self._refusal("draining", fault.message))
        return self._faulted(by, fault)

    def _faulted(self, by: str, fault: Fault) -> m.Event:
        return m.Faulted(self.award, by, fault)

    def _refusal(self, reason: str, message: str) -> Refusal:
        return Refusal(agent=self.winner.agent, instance=self.winner.instance, reason=reason, message=message)  # type: ignore[arg-type]

    def misfit(self, answer: Inbound, error: MeshError) -> m.Event:
        """It lives, and talks nonsense: that is its mistake."""
        return self._faulted(answer.sender, error.fault(answer.sender))

    def unread(self, answer: Inbound) -> None:
        """It lives. When it is looked after the next time it tells, and stores, the same again."""
        self.hears.event(m.Progressed(self.award, answer.sender))

    def failed(self, error: MeshError) -> None:
        """Nobody listens there, its answer cannot be read, or we are leaving."""
        if isinstance(error, NoResponders):
            self.hears.event(m.Vanished(self.award, self.attempt))
        elif error.error_class == "semantic":
            self.hears.event(self._faulted(self.winner.process, error.fault(self.winner.process)))
        else:
            self.hears.broken(error)
