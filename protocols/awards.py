"""The award ledger's records: who offered what, how each offer scored, who won, and why.

An `AwardRecord` is written before its award is sent, so that every choice can be explained afterwards, and so that whoever
takes over a job can send the same award again.
"""

from __future__ import annotations

import msgspec

from mesh.protocols.acts import Bid, Mode, Proposal, Refusal
from mesh.protocols.constraints import Effect
from mesh.protocols.learned import Learned


class Score(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a bid costs the initiator, in its policy's unit: the smaller, the better.

    `total` is the sum of the parts less the `bonus`, which a newcomer has in a draw that is open to newcomers.
    """

    cost: float = 0.0
    latency: float = 0.0
    risk: float = 0.0
    bonus: float = 0.0

    @property
    def total(self) -> float:
        """All parts together."""
        return self.cost + self.latency + self.risk - self.bonus


class Weights(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a choice was made with: the policy's weights of money, seconds and certain failure, and the share of awards that
    newcomers may get.
    """

    price: float = 100.0
    latency: float = 1.0
    risk: float = 5.0
    explore: float = 0.1


USUAL = Weights()


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One bid with a name on it, as it was judged.

    `proposal` is empty for a standing bid, which was `age` seconds old; a proposal binds for `valid_for` seconds.
    `reputation` is the share of earlier awards that it kept, `learned` what else is believed of it beyond its bid (None:
    nothing that matters). `rejected_because` is empty for the winner and for those that were acceptable but dearer.
    `effect` is what it declares, in its proposal or in the registry.
    """

    agent: str
    instance: str
    process: str
    bid: Bid
    version: str = ""
    labels: dict[str, str] = {}
    proposal: str = ""
    valid_for: float = 0.0
    age: float = 0.0
    reputation: float = 1.0
    score: Score | None = None
    rejected_because: str = ""
    learned: Learned | None = None
    effect: Effect = "costly"

    @property
    def key(self) -> str:
        """Who it is: `<process>.<agent>.<instance>`."""
        return f"{self.process}.{self.agent}.{self.instance}"

    @classmethod
    def of(cls, proposal: Proposal, learned: Learned | None = None) -> Candidate:
        """The candidate behind a proposal."""
        return cls(
            agent=proposal.agent,
            instance=proposal.instance,
            process=proposal.process,
            version=proposal.version,
            bid=proposal.bid,
            labels=proposal.labels,
            proposal=proposal.id,
            valid_for=proposal.valid_for,
            reputation=learned.reputation if learned is not None else 1.0,
            learned=learned,
            effect=proposal.effect,
        )


class AwardRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of the award ledger.

    `number` counts the awards of one conversation from 1 (each decline or loss leads to another), `round` the calls;
    `known` is how many could have been asked, of whom `candidates` were. `winner` is a candidate's key. `at` is Unix
    seconds. The award's id is unique for each number: at most one winner is ever confirmed for one. `explored` says that a
    newcomer was tried where a better known one would have won.
    """

    award: str
    conversation: str
    capability: str
    mode: Mode
    winner: str
    reason: str
    at: float
    effect: Effect = "costly"
    round: int = 1
    number: int = 1
    known: int = 0
    candidates: tuple[Candidate, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    weights: Weights = USUAL
    explored: bool = False

    @property
    def won(self) -> Candidate:
        """The winner.

        Raises:
            LookupError: the record does not list its winner.
        """
        for candidate in self.candidates:
            if candidate.key == self.winner:
                return candidate
        raise LookupError(f"award {self.award} does not list its winner {self.winner}")
