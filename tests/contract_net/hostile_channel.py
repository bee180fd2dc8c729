"""One initiator and several participants on a channel that loses, doubles, delays and reorders; participants die.

No I/O and no clock: whoever drives the world says what happens next.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import msgspec

from mesh.protocols import auction_messages as m
from mesh.protocols import commitments as c
from mesh.protocols.acts import Bid, Mode, Proposal, Refusal
from mesh.protocols.auction import Auction
from mesh.protocols.auction_messages import Terms
from mesh.protocols.awards import Candidate
from mesh.protocols.commitment import Asker, AwardReceived, Finished
from mesh.protocols.constraints import Effect
from mesh.protocols.errors import HandlerFailed
from mesh.protocols.selection import SelectionPolicy

ME = "initiator"
DEADLINE = 30.0


@dataclass
class Message:
    to: str
    deliver: Callable[[], None]
    what: str


@dataclass
class Peer:
    """A participant process with one instance, whose work ends when the world says so."""

    name: str
    world: World
    capacity: int = 1
    book: c.Commitments = field(default_factory=c.Commitments)
    running: list[str] = field(default_factory=list)
    life: int = 0

    @property
    def seat(self) -> str:
        return f"worker.{self.name}"

    @property
    def room(self) -> int:
        return self.capacity - len(self.running)

    def hear_call(self, conversation: str) -> None:
        now = self.world.now
        proposal = self.book.bids.offered(conversation, self.seat, now)
        if proposal is None and self.room - self.book.bids.count(self.seat, now) <= 0:
            refusal = Refusal(agent="worker", instance=self.name, reason="capacity", retry_after=0.2)
            return self.tell(m.Proposed(self.name, refusals=(refusal,)))
        if proposal is None:
            proposal = self.proposal(next(self.world.numbers))
            self.book.bids.offer(proposal, self.seat, conversation, ME, now)
        return self.tell(m.Proposed(self.name, (Candidate.of(proposal),)))

    def proposal(self, number: int) -> Proposal:
        return Proposal(
            id=f"bid-{number}",
            agent="worker",
            instance=self.name,
            process=self.name,
            version="1",
            bid=Bid(),
            valid_for=2.0,
        )

    def hear_award(self, received: AwardReceived) -> None:
        for command in self.book.award(received, self.room, self.world.now):
            self.carry_out(command)

    def hear_cancel(self, received: AwardReceived) -> None:
        for command in self.book.cancel(received, self.world.now):
            self.carry_out(command)

    def carry_out(self, command: c.Command) -> None:
        match command:
            case c.Begin(commitment):
                self.running.append(commitment.award)
                self.world.begun[commitment.award].add(self.name)
            case c.Stop(commitment):
                self.running.remove(commitment.award)
            case c.Confirm(commitment):
                self.tell(m.Confirmed(commitment.award, self.name, running=commitment.state == "running"))
            case c.Decline(received, reason, _):
                refusal = Refusal(agent="worker", instance=self.name, reason=reason)
                self.tell(m.Declined(received.award, self.name, refusal))
            case c.Tell(commitment) if commitment.finished is not None:
                self.tell_outcome(commitment.award, commitment.finished)

    def tell_outcome(self, award: str, finished: Finished) -> None:
        if finished.fault is not None:
            self.tell(m.Faulted(award, self.name, finished.fault))
        else:
            self.tell(m.Succeeded(award, self.name, finished.content))

    def work(self, award: str, end: str) -> None:
        """The handler's effect happens, then it returns or raises; or it only gets as far as confirming."""
        if end == "confirm":
            self.book.begun(award)
            commands = self.book.confirmable(award)
        else:
            self.running.remove(award)
            self.world.executed[award] += 1
            self.world.effects.append((award, self.name))
            content = msgspec.Raw(f'"{self.name}:{award}"'.encode())
            fault = HandlerFailed("it raised").fault() if end == "raise" else None
            commands = self.book.finish(award, Finished(content, fault=fault))
        for command in commands:
            self.carry_out(command)

    def tell(self, event: m.Event) -> None:
        self.world.send(ME, lambda: self.world.hear(event), f"{self.name}: {type(event).__name__}")


class World:
    def __init__(
        self, effect: Effect, mode: Mode, peers: int, seed: int, again: Callable[[], bool] = lambda: True
    ) -> None:
        self.now = 0.0
        self.awards: list[m.Award] = []
        self.declined = 0
        self.numbers = itertools.count(1)
        self.in_flight: list[Message] = []
        self.begun: dict[str, set[str]] = {}
        self.executed: Counter[str] = Counter()
        self.effects: list[tuple[str, str]] = []
        self.outcomes: list[m.Outcome] = []
        self.evidence: list[m.Succeeded | m.Faulted] = []
        self.history: list[str] = []
        self.peers = {f"p{number}": Peer(f"p{number}", self) for number in range(peers)}
        self.alive = set(self.peers)
        terms = Terms(conversation="talk", capability="do", deadline=DEADLINE, effect=effect, mode=mode)
        self.auction = Auction(
            terms,
            SelectionPolicy(),
            Random(seed),
            new_id=lambda: f"award-{next(self.numbers)}",
            wall=lambda: self.now,
            again=again,
        )

    # -- the channel

    def send(self, to: str, deliver: Callable[[], None], what: str) -> None:
        self.in_flight.append(Message(to, deliver, what))

    def to_peer(self, name: str, deliver: Callable[[], None], what: str, on_503: m.Event | None = None) -> None:
        """The server knows at once whether anybody listens."""
        if name in self.alive:
            self.send(name, deliver, what)
        elif on_503 is not None:
            self.send(ME, lambda: self.hear(on_503), f"503 to {what}")

    def hear(self, event: m.Event) -> None:
        self.history.append(f"{self.now:.2f} {event}")
        before = self.auction.over
        self.declined += isinstance(event, m.Declined)
        self.carry_out(self.auction.handle(event, self.now))
        if self.auction.over and not before:
            assert self.auction.outcome is not None
            self.outcomes.append(self.auction.outcome)

    def open(self) -> None:
        self.carry_out(self.auction.open(self.now))

    def carry_out(self, commands: list[m.Command]) -> None:
        for command in commands:
            self.history.append(f"{self.now:.2f}   {type(command).__name__} [{self.auction.state}]")
            match command:
                case m.Survey():
                    self.survey(command)
                case m.Award(record, winner):
                    self.awards.append(command)
                    self.begun.setdefault(record.award, set())
                    self.deliver_award(record.award, winner, 1)
                    self.hear(m.Sent(record.award))
                case m.Probe(record, winner, attempt):
                    self.deliver_award(record.award, winner, attempt)
                case m.Reject(candidate, _, _):
                    peer = self.peers[candidate.process]
                    reject = (candidate.proposal, ME)
                    self.to_peer(peer.name, lambda peer=peer, reject=reject: peer.book.bids.reject(*reject), "reject")
                case m.CancelAward(record, winner, _):
                    peer = self.peers[winner.process]
                    received = self.received(record.award, winner, 1)
                    self.to_peer(peer.name, lambda p=peer, r=received: p.hear_cancel(r), "cancel")
                case m.Evidence(result):
                    self.evidence.append(result)

    def received(self, award: str, winner: Candidate, attempt: int) -> AwardReceived:
        return AwardReceived(
            award=award,
            conversation="talk",
            capability="do",
            seat=f"worker.{winner.instance}",
            asker=Asker(ME, "token"),
            proposal=winner.proposal,
            effect=self.auction.terms.effect,
            attempt=attempt,
            remaining=DEADLINE - self.now,
        )

    def deliver_award(self, award: str, winner: Candidate, attempt: int) -> None:
        peer, received = self.peers[winner.process], self.received(award, winner, attempt)
        what = f"award {award}/{attempt} to {peer.name}"
        self.to_peer(peer.name, lambda: peer.hear_award(received), what, m.Vanished(award, attempt))

    def survey(self, survey: m.Survey) -> None:
        if survey.mode == "standing":
            candidates = tuple(
                msgspec.structs.replace(Candidate.of(each.proposal(0)), proposal="") for each in self.peers.values()
            )
            self.hear(m.Called(candidates=candidates, known=len(candidates)))
            return
        keys = {name: name for name in self.peers}
        if survey.mode == "broadcast" and not self.alive:
            self.send(ME, lambda: self.hear(m.NobodyListens()), "503 to the call")
        for name, key in keys.items():
            on_503 = m.NobodyListens(key) if survey.mode == "directed" else None
            self.to_peer(name, lambda name=name: self.peers[name].hear_call("talk"), f"call to {name}", on_503)
        self.hear(m.Called(expected=frozenset(keys.values()), known=len(keys)))

    # -- what may happen

    def deliver(self, index: int) -> None:
        message = self.in_flight.pop(index)
        self.history.append(f"{self.now:.2f} -> {message.what}")
        message.deliver()

    def lose(self, index: int) -> None:
        self.in_flight.pop(index)

    def double(self, index: int) -> None:
        self.in_flight.append(self.in_flight[index])

    def kill(self, name: str) -> None:
        self.alive.discard(name)
        self.peers[name].running.clear()
        self.in_flight = [each for each in self.in_flight if each.to != name]

    def revive(self, name: str) -> None:
        """The same name, nothing remembered."""
        self.peers[name] = Peer(name, self)
        self.alive.add(name)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tick()

    def tick(self) -> None:
        due = self.auction.due
        if due is not None and due <= self.now:
            self.hear(m.Ticked())

    def settle(self) -> None:
        """No more hostility: everything arrives, everyone works, time passes; it must come to an end."""
        for _ in range(10_000):
            if self.in_flight:
                self.deliver(0)
            elif busy := [(each, award) for each in self.peers.values() for award in each.running]:
                busy[0][0].work(busy[0][1], "return")
            elif self.auction.due is not None:
                self.now = max(self.now, self.auction.due)
                self.tick()
            else:
                return
        raise AssertionError("it does not come to an end:\n" + "\n".join(self.history[-60:]))
